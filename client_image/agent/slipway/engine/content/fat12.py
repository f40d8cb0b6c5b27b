"""The used map of FAT12, read from its own allocation table.

Partclone misreads FAT12, whose table is so small that reading it takes a page of code. Names and
rules are those of Microsoft's "FAT: General Overview of On-Disk Format", version 1.03.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from slipway.format import Extents

BOOT_SECTOR = 512
# BytsPerSec, SecPerClus, RsvdSecCnt, NumFATs, RootEntCnt, TotSec16, Media, FATSz16; TotSec32 at 32.
_FIELDS = struct.Struct("<HBHBHHBH")
_FIELDS_AT, _TOTAL_32_AT = 11, 32
_ROOT_ENTRY = 32
# From 4085 clusters on it is FAT16, whatever the label in the boot sector says.
_MOST_CLUSTERS = 4084
_FIRST_CLUSTER = 2
_FREE, _BAD = 0x000, 0xFF7
_SECTORS = (512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Fat12:
    """Where the parts of a FAT12 file system lie, in bytes."""

    first_table: int
    table_size: int
    tables: int
    data: int
    """Where cluster 2 begins."""
    cluster: int
    clusters: int
    size: int
    """What the boot sector says about all of it."""

    def used(self, read: Callable[[int, int], bytes], size: int) -> Extents:
        """Everything in `size` bytes but clusters that every table calls free, or bad."""
        tables = [
            read(self.first_table + number * self.table_size, self.table_size)
            for number in range(self.tables)
        ]
        known = min(self.clusters, self.table_size * 2 // 3 - _FIRST_CLUSTER)
        free = Extents.of(
            (self.data + number * self.cluster, self.data + (number + 1) * self.cluster)
            for number in range(known)
            if all(entry(table, number + _FIRST_CLUSTER) in (_FREE, _BAD) for table in tables)
        )
        return free.complement(size)


def entry(table: bytes, number: int) -> int:
    """An entry of 12 bits: two of them share the middle one of three bytes."""
    at = number * 3 // 2
    pair = int.from_bytes(table[at : at + 2], "little")
    return pair >> 4 if number % 2 else pair & 0xFFF


def parse_fat12(boot: bytes) -> Fat12 | None:
    """Read a boot sector; None when it describes no FAT12."""
    if len(boot) < BOOT_SECTOR:
        return None
    fields = _FIELDS.unpack_from(boot, _FIELDS_AT)
    sector, per_cluster, reserved, tables, root_entries, total_16, _, table_sectors = fields
    (total_32,) = struct.unpack_from("<I", boot, _TOTAL_32_AT)
    total = total_16 or total_32
    if sector not in _SECTORS or not all((per_cluster, reserved, tables, root_entries)):
        return None
    root_sectors = -(-root_entries * _ROOT_ENTRY // sector)
    data = reserved + tables * table_sectors + root_sectors
    clusters = (total - data) // per_cluster
    if not table_sectors or not 0 < clusters <= _MOST_CLUSTERS:
        return None
    return Fat12(
        first_table=reserved * sector,
        table_size=table_sectors * sector,
        tables=tables,
        data=data * sector,
        cluster=per_cluster * sector,
        clusters=clusters,
        size=total * sector,
    )
