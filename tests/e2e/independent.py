# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares disks without any of Slipway's own code.

Used ranges come from dumpe2fs (its list of free blocks, inverted) and, for FAT, from the file
allocation table as this file reads it: a second, separate implementation on purpose.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
SWAP_HEADER = 4096


@dataclass(frozen=True)
class Part:
    """A partition of a disk file; start and size in bytes."""

    number: int
    start: int
    size: int
    kind: str


def run(*argv: str) -> str:
    """Return the output of a program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def partitions(disk: Path) -> list[Part]:
    """Return the partitions of a disk file with what blkid says of their content."""
    table = json.loads(run("sfdisk", "--json", str(disk)))["partitiontable"]
    found = []
    for row in table["partitions"]:
        start, size = row["start"] * SECTOR, row["size"] * SECTOR
        probe = subprocess.run(
            [
                "blkid",
                "-p",
                "-O",
                str(start),
                "-S",
                str(size),
                "-o",
                "value",
                "-s",
                "TYPE",
                str(disk),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        number = int(re.search(r"(\d+)$", row["node"])[1])
        found.append(Part(number, start, size, probe.stdout.strip()))
    return found


def sector(disk: Path, number: int) -> bytes:
    """Return one sector of a disk; negative numbers count from its end."""
    size = disk.stat().st_size
    with disk.open("rb") as file:
        file.seek(number * 512 if number >= 0 else size + number * 512)
        return file.read(512)


def can_boot(disk: Path) -> bool:
    """Whether firmware would find a boot sector or a partition table."""
    signature = sector(disk, 0)[510:512] == b"\x55\xaa"
    return signature or any(sector(disk, n)[:8] == b"EFI PART" for n in (1, -1))


def ext_used(disk: Path, part: Part) -> Iterator[tuple[int, int]]:
    """Yield the used byte ranges of an ext2/3/4 file system, from dumpe2fs's free blocks."""
    text = run("dumpe2fs", f"{disk}?offset={part.start}")
    block = int(re.search(r"^Block size:\s+(\d+)", text, re.M)[1])
    count = int(re.search(r"^Block count:\s+(\d+)", text, re.M)[1])
    free = sorted(
        (int(low), int(high or low))
        for line in re.findall(r"^  Free blocks: (.*)$", text, re.M)
        for low, high in re.findall(r"(\d+)(?:-(\d+))?", line)
    )
    position = 0
    for low, high in [*free, (count, count)]:
        if low > position:
            yield position * block, (low - position) * block
        position = high + 1


def fat32_used(disk: Path, part: Part) -> Iterator[tuple[int, int]]:
    """Yield the used byte ranges of a FAT32 file system, from its first allocation table."""
    with disk.open("rb") as file:
        file.seek(part.start)
        boot = file.read(SECTOR)
        sector = int.from_bytes(boot[11:13], "little")
        cluster = boot[13] * sector
        reserved = int.from_bytes(boot[14:16], "little") * sector
        fat = int.from_bytes(boot[36:40], "little") * sector
        data = reserved + boot[16] * fat
        file.seek(part.start + reserved)
        table = file.read(fat)
    yield 0, data
    total = int.from_bytes(boot[32:36], "little") * sector
    for number in range(2, 2 + (total - data) // cluster):
        entry = int.from_bytes(table[number * 4 : number * 4 + 4], "little") & 0x0FFFFFFF
        if entry:
            yield data + (number - 2) * cluster, cluster


def used_ranges(disk: Path) -> list[tuple[int, int]]:
    """Return every byte range of the disk that must come back: tables, boot code, used blocks."""
    parts = partitions(disk)
    ranges = [(0, min(part.start for part in parts))]
    for part in parts:
        if part.kind.startswith("ext"):
            inner = ext_used(disk, part)
        elif part.kind == "vfat":
            inner = fat32_used(disk, part)
        elif part.kind == "swap":
            inner = iter([(0, SWAP_HEADER)])
        elif part.kind == "":  # the extended partition: its first sector is a table
            inner = iter([(0, SECTOR)])
        else:
            raise AssertionError(f"no independent map for {part}")
        ranges += [(part.start + start, length) for start, length in inner]
    ranges += ebr_sectors(disk)
    with disk.open("rb") as file:
        gpt = b"EFI PART" in file.read(2 * SECTOR)
    if gpt:
        ranges.append((disk.stat().st_size - 33 * SECTOR, 33 * SECTOR))
    return ranges


def ebr_sectors(disk: Path) -> list[tuple[int, int]]:
    """Return the sectors of the chain of extended boot records, read entry by entry."""
    sectors = []
    with disk.open("rb") as file:
        mbr = file.read(SECTOR)
        extended = [e for e in entries(mbr) if e[0] in (0x05, 0x0F, 0x85)]
        base = extended[0][1] if extended else 0
        position = base
        while position:
            sectors.append((position * SECTOR, SECTOR))
            file.seek(position * SECTOR)
            links = [e for e in entries(file.read(SECTOR)) if e[0] in (0x05, 0x0F, 0x85)]
            position = base + links[0][1] if links else 0
    return sectors


def entries(sector: bytes) -> list[tuple[int, int]]:
    """Return (type, first sector) of the four entries of a partition table sector."""
    rows = [sector[446 + 16 * i : 462 + 16 * i] for i in range(4)]
    return [(row[4], int.from_bytes(row[8:12], "little")) for row in rows]


def differing(original: Path, other: Path, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those ranges that are not byte for byte the same in both files."""
    wrong = []
    with original.open("rb") as left, other.open("rb") as right:
        for start, length in ranges:
            left.seek(start)
            right.seek(start)
            if left.read(length) != right.read(length):
                wrong.append((start, length))
    return wrong


def check_file_systems(disk: Path) -> list[str]:
    """Return the complaints of each file system's own checker, run on copies of the partitions."""
    complaints = []
    for part in partitions(disk):
        copy = disk.with_suffix(f".part{part.number}")
        if part.kind.startswith("ext"):
            checker = ["e2fsck", "-f", "-n", str(copy)]
        elif part.kind == "vfat":
            checker = ["fsck.vfat", "-n", str(copy)]
        else:
            continue
        try:
            run(
                "dd",
                f"if={disk}",
                f"of={copy}",
                "bs=1M",
                "iflag=skip_bytes,count_bytes",
                f"skip={part.start}",
                f"count={part.size}",
                "conv=sparse",
                "status=none",
            )
            done = subprocess.run(checker, capture_output=True, text=True, check=False)
        finally:
            copy.unlink(missing_ok=True)
        if done.returncode:
            complaints.append(f"partition {part.number} ({part.kind}): {done.stdout}")
    return complaints


def assert_came_back(original: Path, restored: Path) -> None:
    """Whatever the original's file systems use is the same on a copy of the restored disk."""
    ranges = used_ranges(original)
    assert sum(length for _, length in ranges) > 100 << 20
    assert differing(original, restored, ranges) == []
    assert check_file_systems(restored) == []
