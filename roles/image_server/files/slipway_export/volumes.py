# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of a version, by the names that people use and those that GRUB uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from slipway.format import Disk

_DEVICE = re.compile(r"\(([^()]+)\)")
_DISK = re.compile(r"loop(\d+)(?:,(.+))?")
_PARTITION = re.compile(r"[a-z]+(\d+)")
# In a logical volume's name a dash stands for the slash, and two for a dash.
_VOLUME = re.compile(r"lvm/((?:[^-]|--)+)-((?:[^-]|--)+)")


@dataclass(frozen=True)
class Volume:
    """Something that may hold a file system."""

    name: str
    """`disk0:1`, `disk0:disk` for what lies on a disk without a table, `GROUP/VOLUME`."""
    device: str
    """By GRUB's name."""


def volumes(listing: str, disks: Iterable[str]) -> list[Volume]:
    """Those in GRUB's list of devices, in the order of the disks. `disks` are loop0, loop1, ..."""
    ids = list(disks)
    found = [Volume(_name(device, ids), device) for device in _DEVICE.findall(listing)]
    return sorted((each for each in found if each.name), key=lambda each: _order(each.name))


def partitions(disks: Iterable[Disk]) -> list[Volume]:
    """The partitions of the tables alone, without asking GRUB what is in them."""
    found = []
    for index, disk in enumerate(disks):
        kind = "msdos" if disk.table.kind == "dos" else "gpt"
        for line in disk.table.partitions:
            found.append(Volume(f"{disk.id}:{line.number}", f"loop{index},{kind}{line.number}"))
        if not disk.table.partitions:
            found.append(Volume(f"{disk.id}:disk", f"loop{index}"))
    return found


def _name(device: str, ids: list[str]) -> str:
    if match := _DISK.fullmatch(device):
        disk = ids[int(match[1])]
        if match[2] is None:
            return f"{disk}:disk"
        # A table within a partition has a second part: msdos1,bsd2.
        parts = [_PARTITION.fullmatch(part) for part in match[2].split(",")]
        return ":".join([disk, *(part[1] if part else "?" for part in parts)])
    if match := _VOLUME.fullmatch(device):
        return "/".join(part.replace("--", "-") for part in match.groups())
    return "" if device in ("proc", "host") else device


def _order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
