# SPDX-License-Identifier: GPL-3.0-or-later
"""The used map of FAT12, FAT16 and FAT32, read from the allocation tables themselves.

Partclone misreads FAT12, looks at the first table only, whichever one is in use, and refuses boot
sectors of old systems. Names and rules are those of Microsoft's "FAT: General Overview of On-Disk
Format", version 1.03. A table of FAT32 has up to 1 GiB: it is read in slices, and no entry costs
a step of Python.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipway.format import Extents

BOOT_SECTOR = 512
Read = Callable[[int, int], bytes]
# BytsPerSec, SecPerClus, RsvdSecCnt, NumFATs, RootEntCnt, TotSec16, Media, FATSz16, then at 32
# TotSec32, FATSz32, ExtFlags, FSVer, RootClus.
_FIELDS = struct.Struct("<HBHBHHBH")
_MORE = struct.Struct("<IIHHI")
_FIELDS_AT, _MORE_AT = 11, 32
_ROOT_ENTRY = 32
# From so many clusters on it is FAT16, and FAT32, whatever the label in the boot sector says.
_LEAST_16, _LEAST_32 = 4085, 65525
_MOST_32 = 0x0FFFFFF5
_FIRST_CLUSTER = 2
_SECTORS = (512, 1024, 2048, 4096)
# ExtFlags has room for numbers up to 15.
_MOST_TABLES = 16
# Entries in a slice: even, so that no entry of 12 bits lies in two of them.
_SLICE = 1 << 18
_BAD_12 = 0xFF7
# The upper four bits of an entry of FAT32 are not its own.
_BAD = {16: re.compile(rb"\xf7\xff"), 32: re.compile(rb"\xf7\xff\xff[%s]" % bytes(
    range(0x0F, 0x100, 0x10)))}  # fmt: skip
_OWN_BITS = bytes(value & 0x0F for value in range(256))
_NOBODYS = re.compile(rb"\0+")


@dataclass(frozen=True)
class FatTables:
    """Where the parts of a FAT file system lie, in bytes."""

    bits: int
    """Of an entry: 12, 16 or 32."""
    first_table: int
    table_size: int
    tables: int
    data: int
    """Where cluster 2 begins."""
    cluster: int
    clusters: int
    size: int
    """What the boot sector says about all of it."""
    root: int = 0
    """The first cluster of the root directory, of FAT32 alone."""

    def used(self, read: Read, size: int) -> Extents:
        """Everything in `size` bytes but clusters that every table calls free, or bad.

        Which of the tables is in use is not asked: systems differ in whether they heed that mark.
        """
        free = Extents.of(self._places(read))
        used = free.complement(size)
        if self.root:
            used = used.union([self._place(self.root, self.root + 1)])
        return used

    def _places(self, read: Read) -> Iterator[tuple[int, int]]:
        last = min(self.clusters + _FIRST_CLUSTER, self.table_size * 8 // self.bits)
        for first in range(0, last, _SLICE):
            count = min(_SLICE, last - first)
            for found in _NOBODYS.finditer(self._marks(read, first, count)):
                start = max(first + found.start(), _FIRST_CLUSTER)
                if start < first + found.end():
                    yield self._place(start, first + found.end())

    def _place(self, first: int, end: int) -> tuple[int, int]:
        """Clusters as bytes of the volume."""
        begin = self.data - _FIRST_CLUSTER * self.cluster
        return begin + first * self.cluster, begin + end * self.cluster

    def _marks(self, read: Read, first: int, count: int) -> bytes:
        """A byte for each entry of a slice: not zero when a table says that it is in use."""
        at, length = first * self.bits // 8, -(-count * self.bits // 8)
        together = 0
        for number in range(self.tables):
            table = read(self.first_table + number * self.table_size + at, length)
            together |= int.from_bytes(marks(table, self.bits)[:count], "little")
        return together.to_bytes(count, "little")


def marks(table: bytes, bits: int) -> bytes:
    """A byte for each entry of a stretch of a table: zero when it is free or bad."""
    if bits == 12:
        entries = (entry(table, number) for number in range(len(table) * 2 // 3))
        return bytes(value not in (0, _BAD_12) for value in entries)
    width = bits // 8
    columns = [table[place::width] for place in range(width)]
    if bits == 32:
        columns[3] = columns[3].translate(_OWN_BITS)
    together = 0
    for column in columns:
        together |= int.from_bytes(column, "little")
    result = bytearray(together.to_bytes(len(table) // width, "little"))
    for found in _BAD[bits].finditer(table):
        if found.start() % width == 0:
            result[found.start() // width] = 0
    return bytes(result)


def entry(table: bytes, number: int) -> int:
    """An entry of 12 bits: two of them share the middle one of three bytes."""
    at = number * 3 // 2
    pair = int.from_bytes(table[at : at + 2], "little")
    return pair >> 4 if number % 2 else pair & 0xFFF


def parse_fat(boot: bytes) -> FatTables | None:
    """Read a boot sector; None when it describes no FAT that every system would read alike."""
    if len(boot) < BOOT_SECTOR:
        return None
    fields = _FIELDS.unpack_from(boot, _FIELDS_AT)
    sector, per_cluster, reserved, tables, root_entries, total_16, _, table_16 = fields
    total_32, table_32, _, _, root = _MORE.unpack_from(boot, _MORE_AT)
    total, table_sectors = total_16 or total_32, table_16 or table_32
    if sector not in _SECTORS or not all((per_cluster, reserved, table_sectors)):
        return None
    if not 0 < tables <= _MOST_TABLES:
        return None
    root_sectors = -(-root_entries * _ROOT_ENTRY // sector)
    data = reserved + tables * table_sectors + root_sectors
    clusters = (total - data) // per_cluster
    bits = _bits(clusters, table_16, root_entries)
    if not bits:
        return None
    return FatTables(
        bits=bits,
        first_table=reserved * sector,
        table_size=table_sectors * sector,
        tables=tables,
        data=data * sector,
        cluster=per_cluster * sector,
        clusters=clusters,
        size=total * sector,
        root=root if bits == 32 and _FIRST_CLUSTER <= root < clusters + _FIRST_CLUSTER else 0,
    )


def _bits(clusters: int, table_16: int, root_entries: int) -> int:
    """The bits of an entry; 0 where the fields contradict each other."""
    if not table_16 and not root_entries:
        # There are FAT32 with fewer clusters than the rule asks for; the other fields decide.
        return 32 if 0 < clusters <= _MOST_32 else 0
    if not table_16 or not root_entries or not 0 < clusters < _LEAST_32:
        return 0
    return 12 if clusters < _LEAST_16 else 16
