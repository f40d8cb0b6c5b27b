# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition entries of an MBR or an extended boot record: arithmetic on bytes, nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_FIRST, _STEP, _COUNT = 446, 16, 4
_PROTECTIVE = 0xEE
EXTENDED = frozenset({0x05, 0x0F, 0x85})
# "Look at the sector numbers": cylinders, heads and sectors can't say where it ends.
_BY_SECTOR = b"\xfe\xff\xff"
MAX_SECTORS = 0xFFFFFFFF


@dataclass(frozen=True)
class Move:
    """A partition and its new place, which may be the old one. In sectors of the disk."""

    start: int
    end: int
    new_end: int
    new_start: int


@dataclass(frozen=True)
class Change:
    """What becomes of a disk's partitions. In sectors of the disk."""

    moves: Sequence[Move]
    sectors: int
    """How many the disk has: nothing reaches behind its end."""
    records: Mapping[int, int] = field(default_factory=dict)
    """New places of extended boot records, by the old ones."""

    def place(self, entry_type: int, start: int, end: int) -> tuple[int, int]:
        """The new start and end of what an entry says lies there."""
        same = (move for move in self.moves if (move.start, move.end) == (start, end))
        move = next(same, None)
        if move is not None:
            return move.new_start, min(move.new_end, self.sectors)
        if entry_type in EXTENDED:
            # It begins with a record, which moves with the partition behind it.
            start, end = self.records.get(start, start), self._end(start, end)
        return start, min(end, self.sectors)

    def _end(self, start: int, end: int) -> int:
        """The new end of a container: what it has behind its last partition, it keeps.

        Only a partition that grows where it is takes from that.
        """
        inside = [move for move in self.moves if start <= move.start and move.end <= end]
        if not inside:
            return end
        last = max(inside, key=lambda move: move.end)
        if last.new_start != last.start or last.new_end < last.end:
            return end + last.new_end - last.end
        return max(end, last.new_end)


@dataclass(frozen=True)
class _Entry:
    at: int
    type: int
    start: int
    count: int


def changed(
    record: bytes, change: Change, old: tuple[int, int] = (0, 0), new: tuple[int, int] = (0, 0)
) -> bytes:
    """A record of a disk whose partitions change.

    The first entry of an extended record counts from the record itself, the others from the first
    record of the chain: `old` and `new` have both, which are 0 for an MBR. Containers change with
    what they hold; an empty one that the disk has no room for goes. Protective entries stay.
    """
    result = bytearray(record)
    for index, entry in enumerate(_entries(record)):
        if entry.type in (0, _PROTECTIVE) or not entry.count:
            continue
        start = old[min(index, 1)] + entry.start
        first, end = change.place(entry.type, start, start + entry.count)
        if end <= first:
            result[entry.at : entry.at + _STEP] = bytes(_STEP)
            continue
        if end != start + entry.count:
            result[entry.at + 5 : entry.at + 8] = _BY_SECTOR
        if first != start:
            result[entry.at + 1 : entry.at + 4] = _BY_SECTOR
        relative = first - new[min(index, 1)]
        struct.pack_into("<II", result, entry.at + 8, relative, min(end - first, MAX_SECTORS))
    return bytes(result)


def protective_resized(record: bytes, old_sectors: int, sectors: int) -> bytes:
    """The protective entry follows the disk, when it covered all of the old one."""
    result = bytearray(record)
    for entry in _entries(record):
        whole = entry.start + entry.count == min(old_sectors, 1 << 32)
        if entry.type == _PROTECTIVE and whole:
            struct.pack_into("<I", result, entry.at + 12, min(sectors - entry.start, MAX_SECTORS))
    return bytes(result)


def _entries(record: bytes) -> Iterator[_Entry]:
    for index in range(_COUNT):
        at = _FIRST + index * _STEP
        yield _Entry(at, record[at + 4], *struct.unpack_from("<II", record, at + 8))
