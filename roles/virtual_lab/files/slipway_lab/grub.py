# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders without grub-install, which wants a mounted disk."""

from __future__ import annotations

from pathlib import Path

from slipway_lab.config import Config, Machine
from slipway_lab.errors import LabError
from slipway_lab.layout import PER_MIB, SECTOR
from slipway_lab.tools import run

MODULES = Path("/usr/lib/grub")
COMMON = ("normal", "configfile", "ext2", "linux", "search", "search_fs_uuid", "echo", "test")
# The code of an MBR ends where the disk's signature begins.
BOOT_CODE = 440
# What Debian's own grub-install puts on the EFI system partition of a PC with Secure Boot.
SIGNED = {
    "BOOTX64.EFI": Path("/usr/lib/shim/shimx64.efi.signed"),
    "grubx64.efi": Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
}


def menu(root_uuid: str) -> str:
    """Render grub.cfg: no menu, no waiting, and no guards against what no emulation leaks."""
    words = "ro quiet mitigations=off console=tty0 console=ttyS0,115200"
    return (
        f"search --no-floppy --fs-uuid --set=root {root_uuid}\n"
        f"linux /vmlinuz root=UUID={root_uuid} {words}\n"
        "initrd /initrd.img\n"
        "boot\n"
    )


def install_bios(config: Config, image: Path, root_number: int, work: Path) -> None:
    """Write GRUB into the MBR and the gap behind it.

    boot.img loads the sector after itself by default, and core.img's own block
    list as grub-mkimage leaves it goes on with the one after that: a core image
    written from sector 1 on needs no patching.
    """
    core = work / "core.img"
    prefix = f"(hd0,msdos{root_number})/boot/grub"
    run(
        config,
        *("grub-mkimage", "-O", "i386-pc", "-p", prefix, "-o", core),
        *("biosdisk", "part_msdos", *COMMON),
    )
    code = core.read_bytes()
    if len(code) > (PER_MIB - 1) * SECTOR:
        raise LabError("GRUB's core image does not fit between the MBR and the first partition.")
    with image.open("r+b") as disk:
        disk.write((MODULES / "i386-pc" / "boot.img").read_bytes()[:BOOT_CODE])
        disk.seek(SECTOR)
        disk.write(code)


def efi_files(config: Config, machine: Machine, root_uuid: str, work: Path) -> dict[str, Path]:
    """Return what goes onto the EFI system partition, by its path there.

    GRUB looks for the root by its UUID and goes on with the grub.cfg there.
    """
    start = work / "grub-start.cfg"
    start.write_text(
        f"search --no-floppy --fs-uuid --set=root {root_uuid}\n"
        "set prefix=($root)/boot/grub\n"
        "configfile $prefix/grub.cfg\n"
    )
    if not machine.is_secure:
        return {"EFI/BOOT/BOOTX64.EFI": efi_loader(config, start, work)}
    # Debian's signed GRUB looks for its configuration in EFI/debian, wherever it lies itself.
    files = {f"EFI/BOOT/{name}": path for name, path in SIGNED.items()}
    return files | {"EFI/debian/grub.cfg": start}


def efi_loader(config: Config, start: Path, work: Path) -> Path:
    """Make a GRUB that begins with that configuration."""
    loader = work / "BOOTX64.EFI"
    run(
        config,
        *("grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", start, "-o", loader),
        *("part_gpt", "part_msdos", "fat", "all_video", *COMMON),
    )
    return loader
