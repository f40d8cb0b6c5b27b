# SPDX-License-Identifier: GPL-3.0-or-later
"""Where partitions lie: pure arithmetic and the text that sfdisk reads."""

from __future__ import annotations

from dataclasses import dataclass

from slipway_lab.config import Disk, Partition
from slipway_lab.errors import LabError

SECTOR = 512
MIB = 1024 * 1024
PER_MIB = MIB // SECTOR

# sfdisk's names of partition types, by table.
TYPES = {
    "mbr": {"ext4": "83", "ext3": "83", "swap": "82", "vfat": "0c"},
    "gpt": {
        "ext4": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "ext3": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        "vfat": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    },
}


@dataclass(frozen=True)
class Placed:
    """A partition with its number and place, in sectors."""

    number: int
    start: int
    sectors: int
    wanted: Partition

    @property
    def offset(self) -> int:
        """First byte."""
        return self.start * SECTOR

    @property
    def kib(self) -> int:
        """Size in KiB, as mke2fs counts."""
        return self.sectors * SECTOR // 1024


def place(disk: Disk) -> tuple[Placed, ...]:
    """Lay partitions out one after another, aligned to 1 MiB.

    The last MiB of a GPT disk stays free for the backup table. Each logical
    partition has one MiB before it that holds its extended boot record.
    """
    total = disk.size_mib * PER_MIB
    end = total - (PER_MIB if disk.table == "gpt" else 0)
    placed: list[Placed] = []
    at = PER_MIB
    number = 0
    for wanted in disk.partitions:
        if wanted.logical:
            number = max(number + 1, 5)
            at += PER_MIB
        else:
            number += 1
        sectors = wanted.size_mib * PER_MIB or end - at
        if sectors <= 0 or at + sectors > end:
            raise LabError(
                f"Partition {number} does not fit on a disk of {disk.size_mib} MiB.",
                "Make the disk larger or the partition smaller.",
            )
        placed.append(Placed(number, at, sectors, wanted))
        at += sectors
    if disk.table == "mbr" and sum(1 for p in placed if p.number < 5) > 3:
        raise LabError("The lab's MBR disks hold at most three primary partitions.")
    return tuple(placed)


def sfdisk_script(disk: Disk, placed: tuple[Placed, ...], disk_id: str) -> str:
    """Render the partition table; the first partition of an MBR that holds / is active."""
    label = "dos" if disk.table == "mbr" else "gpt"
    lines = [f"label: {label}", f"label-id: {disk_id}", "unit: sectors", ""]
    logical = [p for p in placed if p.wanted.logical]
    extended_number = len(placed) - len(logical) + 1
    for part in placed:
        if logical and part is logical[0]:
            first, last = logical[0], logical[-1]
            start = first.start - PER_MIB
            size = last.start + last.sectors - start
            lines.append(f"{extended_number} : start={start}, size={size}, type=5")
        fields = [
            f"start={part.start}",
            f"size={part.sectors}",
            f"type={TYPES[disk.table][part.wanted.fs]}",
        ]
        if disk.table == "gpt":
            fields.append(f'name="{part.wanted.label or part.wanted.fs}"')
        elif part.wanted.mount == "/":
            fields.append("bootable")
        lines.append(f"{part.number} : {', '.join(fields)}")
    return "\n".join(lines) + "\n"
