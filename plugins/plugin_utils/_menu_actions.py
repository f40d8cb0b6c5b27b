# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an item of a menu can do, one entry an action: all that anybody asks about it stands here.

Lines of iPXE and GRUB use the labels and functions of ``_menu_ipxe`` and ``_menu_grub``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# How the local disk boots, and what that means on the two kinds of firmware.
METHODS = {
    "auto": "BIOS: first hard disk; UEFI: next boot entry of the firmware",
    "exit": "next boot device or entry of the firmware",
    "chain": "BIOS: first hard disk; UEFI: the boot loader found on it",
}
# BIOS drive number of the first floppy disk.
_FLOPPY = "0x00"


@dataclass(frozen=True)
class Place:
    """Where an item's lines stand: all that they may name."""

    item: str
    # The item's way to boot the local disk, a key of METHODS.
    method: str
    # The label or function that an item goes on to when it could not be started.
    back: str
    # Where the image server's files lie, and the file of an administrator's own script.
    url: str
    script: str


@dataclass(frozen=True)
class Work:
    """What an item works on, for the sentence about it."""

    image: str | None
    images: tuple[str, ...] | None
    method: str | None


Lines = Callable[[Place], Iterable[str]]


def _no_lines(place: Place) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Action:
    """An action: its title, its keys, how it is started and what is said about it.

    ``keys`` are what an item may say beside id, action, title, hidden and order. ``word`` boots the
    imaging environment with that word, in which ``{item}`` is the item's id; all others have lines
    of their own for each boot loader.
    """

    # What it is called when the item has no title of its own.
    title: str
    meaning: Callable[[Work], str]
    keys: frozenset[str] = frozenset()
    word: str = ""
    # Whether the server is asked for the item, so that it belongs to a machine with a name.
    asked: bool = False
    # Whether it may start by itself when the time is up: none that may touches a disk's content.
    timed: bool = False
    # Whether that is so in the menu of machines that nobody knows.
    timed_unknown: bool = False
    # Whether the menu's default goes on to the local disk when it came back from this.
    comes_back: bool = False
    # Programs that the role installs when a menu has it.
    programs: tuple[str, ...] = ()
    ipxe: Lines = _no_lines
    grub: Lines = _no_lines

    def words(self, item: str) -> str:
        """Return the word with which the imaging environment is booted for an item."""
        return self.word.format(item=item)


def _program(name: str) -> list[str]:
    """Return the lines that choose the build of a program for this firmware."""
    return [
        f"set slwfile {name}",
        f"iseq ${{platform}} efi && set slwfile {name.partition('.')[0]}.efi ||",
    ]


def _wait(back: str) -> list[str]:
    return ["prompt --timeout 15000 Press a key, or wait 15 seconds, to go on. ||", f"goto {back}"]


def _floppy_ipxe(place: Place) -> list[str]:
    return [
        f"iseq ${{platform}} efi && goto uefi-{place.item} ||",
        f"sanboot --no-describe --drive {_FLOPPY} ||",
        "echo There is no floppy disk in the drive that could be booted.",
        *_wait(place.back),
        f":uefi-{place.item}",
        "echo UEFI firmware boots no floppy disks. In BIOS mode, if this PC has one, it can.",
        *_wait(place.back),
    ]


def _floppy_grub(place: Place) -> list[str]:
    return [
        'if [ "$grub_platform" = pc ]; then',
        "  slw_drive fd0",
        "  echo 'There is no floppy disk in the drive that could be booted.'",
        "else",
        "  echo 'UEFI firmware boots no floppy disks. In BIOS mode, if there is one, it can.'",
        "fi",
        "slw_wait",
    ]


def _cdrom_ipxe(place: Place) -> list[str]:
    return [
        *_program("cdrom.0"),
        f"chain {place.url}/items/${{slwfile}} ||",
        "echo There is no CD or DVD in the drive that this PC could boot.",
        *_wait(place.back),
    ]


def _cdrom_grub(place: Place) -> list[str]:
    # On BIOS, GRUB knows no CD drive but the one it came from. The program, once it runs, leaves to
    # the firmware's next boot device where there is no disc.
    return [
        'if [ "$grub_platform" = pc ]; then',
        "  if chainloader /items/cdrom.0; then",
        "    boot",
        "  fi",
        "fi",
        "for slw_cd in cd0 cd1 cd2; do",
        '  if [ -f "($slw_cd)/EFI/BOOT/BOOTX64.EFI" ]; then',
        '    set root="$slw_cd"',
        "    if chainloader /EFI/BOOT/BOOTX64.EFI; then",
        "      boot",
        "    fi",
        '    set root="$slw_net"',
        "  fi",
        "done",
        "echo 'There is no CD or DVD in the drive that this PC could boot.'",
        "slw_wait",
    ]


def _memtest_ipxe(place: Place) -> list[str]:
    return [
        *_program("memtest.bin"),
        "chain ${slwfiles}/items/${slwfile} || goto slw-failed",
        "goto slw-menu",
    ]


def _memtest_grub(place: Place) -> list[str]:
    return [
        'if [ "$grub_platform" = pc ]; then',
        "  if linux16 /items/memtest.bin; then",
        "    boot",
        "  fi",
        "elif chainloader /items/memtest.efi; then",
        "  boot",
        "fi",
        "echo 'The memory test did not start. With Secure Boot the firmware refuses it.'",
        "slw_wait",
    ]


def _script_ipxe(place: Place) -> list[str]:
    return [
        f"chain {place.url}/items/{place.script} || goto slw-failed",
        f"goto {place.back}",
    ]


def _script_grub(place: Place) -> list[str]:
    return [
        "echo 'This script is one of iPXE, and this PC starts with GRUB.'",
        "slw_wait",
    ]


def _says(sentence: str) -> Callable[[Work], str]:
    return lambda work: sentence


_ITEM = "slipway.item={item}"

ACTIONS: Mapping[str, Action] = {
    "local_disk": Action(
        title="Boot the local disk",
        meaning=lambda work: METHODS[str(work.method)],
        keys=frozenset({"method"}),
        timed=True,
        ipxe=lambda place: [f"goto local-{place.method}"],
        # GRUB leaves to the firmware for `exit` alone.
        grub=lambda place: [f"slw_local_{place.method}"],
    ),
    "floppy": Action(
        title="Boot from the floppy disk",
        meaning=_says("first floppy drive; UEFI firmware can't, and the PC says so"),
        timed=True,
        comes_back=True,
        ipxe=_floppy_ipxe,
        grub=_floppy_grub,
    ),
    "cdrom": Action(
        title="Boot from the CD or DVD",
        meaning=_says("first CD or DVD with a system"),
        timed=True,
        comes_back=True,
        programs=("cdrom",),
        ipxe=_cdrom_ipxe,
        grub=_cdrom_grub,
    ),
    "backup": Action(
        title="Back up this PC",
        meaning=lambda work: f"saves the disks as a new version of {work.image}",
        keys=frozenset({"image", "password_hash"}),
        word=_ITEM,
        asked=True,
    ),
    "restore": Action(
        title="Restore this PC",
        meaning=lambda work: (
            f"writes {work.image or 'one to be picked of ' + ', '.join(work.images or ())}"
        ),
        keys=frozenset({"image", "images", "password_hash"}),
        word=_ITEM,
        asked=True,
    ),
    "rescue_shell": Action(
        title="Rescue shell",
        meaning=_says("the imaging environment, with a shell"),
        keys=frozenset({"password_hash"}),
        word=_ITEM,
        asked=True,
    ),
    "memtest": Action(
        title="Test the memory",
        meaning=_says("Memtest86+"),
        comes_back=True,
        programs=("memtest",),
        ipxe=_memtest_ipxe,
        grub=_memtest_grub,
    ),
    "register": Action(
        title="Register this machine",
        meaning=_says("asks the image server to take this PC in"),
        word="slipway.register=1",
        timed_unknown=True,
    ),
    "ipxe": Action(
        title="Run the administrator's script",
        meaning=_says("a script of your own"),
        keys=frozenset({"script"}),
        timed=True,
        comes_back=True,
        ipxe=_script_ipxe,
        grub=_script_grub,
    ),
}
