# SPDX-License-Identifier: GPL-3.0-or-later
"""The media themselves: a floppy, a USB stick and a CD, all made of the same few files.

BIOS starts SYSLINUX or ISOLINUX, which loads Debian's iPXE as a kernel and the script as its
initrd. UEFI starts iPXE itself, from EFI/BOOT; an iPXE of Debian 13 reads autoexec.ipxe beside it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_media import tools

SECTOR = 512
USB_SECTORS = 32768  # 16 MiB
USB_START = 2048
FAT16_TYPE = 0x0E
EFI_SECTORS = 5760  # 2.88 MB, the largest floppy: firmware knows it
EFI_PROGRAM = "EFI/BOOT/BOOTX64.EFI"
SYSLINUX_CFG = "DEFAULT slipway\nLABEL slipway\n  KERNEL {0}ipxe.krn\n  INITRD {0}boot.ipx\n"


@dataclass(frozen=True)
class Parts:
    """What media are made of. Without `efi` they are for BIOS alone."""

    script: str
    lkrn: bytes
    efi: bytes | None

    @property
    def bios_files(self) -> dict[str, bytes]:
        """Files that SYSLINUX wants, by name; 8.3, so that FAT needs no second entry for them."""
        return {
            "ipxe.krn": self.lkrn,
            "boot.ipx": self.script.encode(),
            "syslinux.cfg": SYSLINUX_CFG.format("").encode(),
        }

    @property
    def efi_files(self) -> dict[str, bytes]:
        """Files that UEFI firmware and its iPXE look for."""
        if self.efi is None:
            return {}
        return {EFI_PROGRAM: self.efi, "autoexec.ipxe": self.script.encode()}


def reads_scripts(efi: bytes) -> bool:
    """Whether this iPXE reads autoexec.ipxe; that of Debian 12 does not."""
    return b"autoexec.ipxe" in efi


def floppy(parts: Parts, target: Path, work: Path) -> None:
    """Make the image of a 1.44 MB floppy, for BIOS."""
    tools.run("mformat", "-i", str(target), "-C", "-f", "1440", *_label(), "::")
    tools.run("syslinux", "--install", str(target))
    fill(str(target), parts.bios_files, work)


def usb(parts: Parts, target: Path, work: Path) -> None:
    """Make the image of a USB stick, for BIOS and UEFI: one FAT partition behind an MBR."""
    code = tools.MBR.read_bytes()[:440].ljust(440, b"\0")
    size = USB_SECTORS - USB_START
    # Cylinder, head and sector are the ones that say "see the sector numbers".
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\xfe\xff\xff", FAT16_TYPE, b"\xfe\xff\xff", USB_START, size
    )
    disk_id = bytes.fromhex(tools.SERIAL)
    with target.open("wb") as file:
        file.write(code + disk_id + bytes(2) + entry + bytes(48) + b"\x55\xaa")
        file.truncate(USB_SECTORS * SECTOR)
    offset = USB_START * SECTOR
    drive = f"{target}@@{offset}"
    tools.run("mformat", "-i", drive, "-T", str(size), *_label(), "::")
    tools.run("syslinux", "--install", "--offset", str(offset), str(target))
    fill(drive, parts.bios_files | parts.efi_files, work)


def cd(parts: Parts, target: Path, work: Path) -> None:
    """Make the image of a CD, for BIOS (ISOLINUX) and UEFI (a FAT image inside)."""
    tree = work / "cd"
    files = {
        "ipxe.krn": parts.lkrn,
        "boot.ipx": parts.script.encode(),
        "isolinux/isolinux.cfg": SYSLINUX_CFG.format("/").encode(),
        "isolinux/isolinux.bin": tools.ISOLINUX.read_bytes(),
        "isolinux/ldlinux.c32": tools.LDLINUX.read_bytes(),
    }
    _write(tree, files)
    words = ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"]
    words += ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    if parts.efi_files:
        image = tree / "efi.img"
        tools.run("mformat", "-i", str(image), "-C", "-f", str(EFI_SECTORS // 2), *_label(), "::")
        fill(str(image), parts.efi_files, work)
        words += ["-eltorito-alt-boot", "-e", image.name, "-no-emul-boot"]
    for path in (*tree.rglob("*"), tree):
        tools.stamp(path)
    made = ("-quiet", "-r", "-V", "SLIPWAY", "-o", str(target))
    tools.run("xorriso", "-as", "mkisofs", *made, *words, str(tree))


MEDIA = {"{0}.iso": cd, "{0}-usb.img": usb, "{0}-floppy.img": floppy}


def _label() -> tuple[str, ...]:
    return ("-v", "SLIPWAY", "-N", tools.SERIAL)


def fill(drive: str, files: Mapping[str, bytes], work: Path) -> None:
    """Write files into a FAT file system; folders are made as they are needed."""
    source = work / "fat"
    shutil.rmtree(source, ignore_errors=True)
    _write(source, files)
    folders = {folder for name in files for folder in Path(name).parents if folder.name}
    for folder in sorted(folders):
        tools.run("mmd", "-i", drive, f"::/{folder}")
    for name in files:
        tools.stamp(source / name)
        tools.run("mcopy", "-m", "-i", drive, str(source / name), f"::/{name}")


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
