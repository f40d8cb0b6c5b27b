# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts a restore medium: GRUB for BIOS, Debian's signed shim and GRUB for UEFI, their menu.

The signed GRUB reads the first medium that it finds a menu on, so the menu comes with GRUB itself
and looks for its own set before anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slipway_media import tools
from slipway_media.errors import MediaError
from slipway_media.media import fill

BOOT_HYBRID = Path("/usr/lib/grub/i386-pc/boot_hybrid.img")
SHIM = Path("/usr/lib/shim/shimx64.efi.signed")
SIGNED_GRUB = Path("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed")
MOK_MANAGER = Path("/usr/lib/shim/mmx64.efi.signed")
PACKAGES = {
    BOOT_HYBRID: "grub-pc-bin",
    SHIM: "shim-signed",
    SIGNED_GRUB: "grub-efi-amd64-signed",
    MOK_MANAGER: "shim-helpers-amd64-signed",
}
# GRUB for BIOS has all that the menu uses inside, so the medium needs no folder of modules.
_BIOS_MODULES = (
    "biosdisk boot chain configfile drivemap echo fat halt iso9660 linux ls minicmd normal "
    "part_gpt part_msdos reboot regexp search search_fs_file serial sleep terminal test"
)
_EFI_SECTORS = 24576  # 12 MiB, twice what is in it
_SBAT = re.compile(rb"shim\.debian,\d+,Debian,shim,([0-9.]+),")

_MENU = """\
# Made by playbooks/restore_media.yml.
set timeout_style=menu
set timeout={timeout}
set default={default}
search --no-floppy --set=root --file {mark}
set slw_medium="$root"
export slw_medium
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi

function slw_environment {{
  echo 'Loading. This takes a minute or two from a disc.'
  set root="$slw_medium"
  linux /slipway/vmlinuz {arguments} $1 systemd.unit=$2
  initrd /slipway/initrd.img /slipway/medium.cpio
  boot
}}

# Comes back only when no disk could be started. Without root, shim would look for its second stage
# on the medium instead of the disk.
function slw_own_disk {{
  echo 'Starting this PC from its own disk.'
  if [ "$grub_platform" = efi ]; then
    for slw_loader in (hd*,*)/EFI/*/shimx64.efi (hd*,*)/EFI/opensuse/shim.efi \\
        (hd*,*)/EFI/Microsoft/Boot/bootmgfw.efi (hd*,*)/EFI/BOOT/BOOTX64.EFI; do
      if [ -f "$slw_loader" ]; then
        regexp --set=1:root --set=2:slw_path '^.([^)]*).(.*)$' "$slw_loader"
        if [ ! -f "($root)/slipway-medium" ]; then
          if chainloader "$slw_path"; then
            boot
          fi
        fi
      fi
    done
  else
    for slw_disk in hd0 hd1 hd2 hd3 hd4 hd5 hd6 hd7; do
      if [ -f "($slw_disk){mark}" ]; then
        continue
      fi
      set root="$slw_disk"
      if chainloader +1; then
        if [ "$slw_disk" != hd0 ]; then
          drivemap -s hd0 "$slw_disk"
        fi
        boot
      fi
    done
  fi
  set root="$slw_medium"
  echo 'No disk of this PC has a system that could be started.'
  echo 'Press Esc, or wait 30 seconds, for the menu.'
  sleep --interruptible 30
}}

menuentry 'Start this PC from its own disk' --id own {{
  slw_own_disk
}}
menuentry 'Write {image} to this PC' --id write {{
  slw_environment slipway.medium=write slipway-medium.target
}}
menuentry 'Check {what}' --id check {{
  slw_environment slipway.medium=check slipway-medium.target
}}
if [ "$grub_platform" = efi ]; then
  menuentry 'Start this PC from its own disk, through its firmware' --id firmware {{
    slw_environment slipway.medium=own-disk slipway-medium.target
  }}
fi
{shell}menuentry '{about}' --id about {{
  true
}}
"""
_SHELL = """\
menuentry 'A shell, for administrators' --id shell {
  slw_environment slipway.item=shell slipway-shell.target
}
"""


@dataclass(frozen=True)
class Menu:
    """What the menu of a medium says."""

    mark: str
    """Path of a file that only media of this set have."""
    image: str
    discs: int
    unattended: bool = False
    shell: bool = False
    timeout: int = 10
    arguments: str = "console=tty0 console=ttyS0,115200 quiet"


def shim_version() -> str:
    """The version of shim on the medium: firmware that has revoked it starts another one only."""
    found = _SBAT.search(SHIM.read_bytes())
    return found[1].decode() if found else "unknown"


def check_installed() -> None:
    """Refuse when a boot loader is missing, and name its package."""
    if missing := sorted({name for path, name in PACKAGES.items() if not path.is_file()}):
        raise MediaError(
            f"Debian's {', '.join(missing)} is not installed.",
            f"apt-get install {' '.join(missing)}",
        )


def render(menu: Menu) -> str:
    """The menu as GRUB's script; nothing in it comes from anywhere but names that were checked."""
    return _MENU.format(
        timeout=menu.timeout,
        default="write" if menu.unattended else "own",
        mark=menu.mark,
        arguments=menu.arguments,
        image=menu.image,
        what="this medium" if menu.discs == 1 else f"these {menu.discs} discs",
        shell=_SHELL if menu.shell else "",
        about=f"(shim {shim_version()})",
    )


def bios_image(target: Path, mark: str, work: Path) -> None:
    """GRUB as the El Torito image for BIOS, which also is what a stick's MBR loads."""
    early = work / "early.cfg"
    early.write_text(
        f"search --no-floppy --set=root --file {mark}\nset prefix=($root)/boot/grub\nnormal\n"
    )
    words = ("-O", "i386-pc-eltorito", "-p", "/boot/grub", "-c", str(early), "-o", str(target))
    tools.run("grub-mkimage", *words, *_BIOS_MODULES.split())


def efi_image(target: Path, mark: str, work: Path) -> None:
    """A FAT file system with shim and GRUB, the partition that UEFI firmware starts."""
    script = (
        f"search --no-floppy --set=root --file {mark}\n"
        "set prefix=($root)/boot/grub\n"
        "configfile $prefix/grub.cfg\n"
    ).encode()
    files = {
        "EFI/BOOT/BOOTX64.EFI": SHIM.read_bytes(),
        "EFI/BOOT/grubx64.efi": SIGNED_GRUB.read_bytes(),
        "EFI/BOOT/mmx64.efi": MOK_MANAGER.read_bytes(),
        # Where this GRUB looks first; other media that are in the PC are never asked.
        "boot/grub/grub.cfg": script,
        "EFI/debian/grub.cfg": script,
        "slipway-medium": b"",
    }
    words = ("-C", "-T", str(_EFI_SECTORS), "-v", "SLIPWAY", "-N", tools.SERIAL)
    tools.run("mformat", "-i", str(target), *words, "::")
    fill(str(target), files, work)
