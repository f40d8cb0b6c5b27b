"""Partition entries of an MBR or an extended boot record: arithmetic on bytes, nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FIRST, _STEP, _COUNT = 446, 16, 4
_PROTECTIVE = 0xEE
# "Look at the sector numbers": cylinders, heads and sectors can't say where it ends.
_BY_SECTOR = b"\xfe\xff\xff"
MAX_SECTORS = 0xFFFFFFFF


@dataclass(frozen=True)
class Move:
    """A partition whose end moves, and perhaps its start. In sectors of the disk."""

    start: int
    end: int
    new_end: int
    new_start: int


@dataclass(frozen=True)
class _Entry:
    at: int
    type: int
    start: int
    count: int


def resized(record: bytes, bases: tuple[int, int], moves: Sequence[Move], sectors: int) -> bytes:
    """A record of a disk of `sectors` sectors, on which the ends of some partitions move.

    The first entry of an extended record counts from the record itself, the others from the first
    record of the chain: `bases` has both, which are 0 for an MBR. Containers grow with what they
    hold, and nothing reaches behind the disk's end. Protective entries stay.
    """
    result = bytearray(record)
    for index, entry in enumerate(_entries(record)):
        if entry.type in (0, _PROTECTIVE) or not entry.count:
            continue
        base = bases[min(index, 1)]
        start = first = base + entry.start
        old = end = start + entry.count
        for move in moves:
            if (start, old) == (move.start, move.end):
                first = move.new_start
            if start <= move.start and move.end <= old:
                # A container that ends with its last partition goes on doing so.
                end = move.new_end if old == move.end else max(end, move.new_end)
        end = min(end, sectors)
        if end != old:
            result[entry.at + 5 : entry.at + 8] = _BY_SECTOR
            struct.pack_into("<I", result, entry.at + 12, min(end - first, MAX_SECTORS))
        if first != start:
            result[entry.at + 1 : entry.at + 4] = _BY_SECTOR
            struct.pack_into("<I", result, entry.at + 8, first - base)
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
