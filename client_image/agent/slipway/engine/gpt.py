# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPT for a disk of another size or with partitions that end elsewhere: arithmetic on bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from slipway.engine.mbr import Change, Move, changed, protective_resized
from slipway.engine.table import GptHeader, parse_gpt_header
from slipway.format import FormatError

_CRC, _ENTRIES_CRC = 16, 88
_OWN, _OTHER, _LAST_USABLE, _DISK_ID, _ENTRIES = 24, 32, 48, 56, 72
_FIRST_LBA, _LAST_LBA = 32, 40


@dataclass(frozen=True)
class _Places:
    """Where partitions lie on the new disk, in bytes, by number."""

    ends: Mapping[int, int]
    starts: Mapping[int, int]
    sector: int


@dataclass(frozen=True)
class _Half:
    """A header, and where in a buffer its entries lie."""

    header: bytes
    fields: GptHeader
    entries: int
    """In bytes."""


def place(
    boot: bytes,
    backup: bytes,
    sector: int,
    sizes: tuple[int, int],
    ends: Mapping[int, int],
    starts: Mapping[int, int] | None = None,
) -> tuple[bytes, bytes, int]:
    """The boot area and the backup GPT for another disk, and where on it the latter goes.

    `boot` begins at sector 0, `backup` ends with the backup header. `sizes` are those of the old
    and of the new disk; `ends` has the new end of partitions, `starts` the new start of those that
    move, by number. All in bytes. A half that is not valid in the image, by its checksums, is not
    made valid by this, or it would hide the sound one. Only a `backup` of nothing but zeros, which
    no disk gave, is made from the primary.
    """
    old_size, new_size = sizes
    primary = _half(boot, sector, 0, sector)
    alternate = _backup_half(backup, sector)
    if primary is None and alternate is None:
        raise FormatError("the image's GPT has no valid copy")
    last = new_size // sector - 1
    start = last - (len(backup) // sector - 1)
    where = _Places(ends, starts or {}, sector)
    limits = {_LAST_USABLE: start - 1}
    new_boot, new_backup = bytearray(boot), bytearray(backup)
    if primary is not None:
        _renew(new_boot, sector, primary, {_OTHER: last} | limits, where)
    if alternate is not None:
        entries = start + alternate.entries // sector
        values = {_OWN: last, _ENTRIES: entries} | limits
        _renew(new_backup, len(backup) - sector, alternate, values, where)
    if primary is not None and not any(backup):
        _copy(new_boot, primary, new_backup, start, sector)
    valid = primary or alternate
    buffer = boot if primary is not None else backup
    moves = _moves(buffer, valid, where) if valid is not None else []
    sectors = (old_size // sector, new_size // sector)
    new_boot[:sector] = protective_resized(
        changed(boot[:sector], Change(moves, sectors[1])), *sectors
    )
    return bytes(new_boot), bytes(new_backup), start * sector


def _half(buffer: bytes, at: int, first: int, sector: int) -> _Half | None:
    """The half whose header is at `at`, if the checksums of header and entries are right.

    Sector number `first` opens the buffer.
    """
    header = buffer[at : at + sector]
    fields = parse_gpt_header(header)
    if fields is None:
        return None
    length, checksum = struct.unpack_from("<I", header, 12)[0], header[_CRC : _CRC + 4]
    plain = header[:_CRC] + bytes(4) + header[_CRC + 4 : length]
    entries = (fields.entries - first) * sector
    if not 92 <= length <= sector or zlib.crc32(plain).to_bytes(4, "little") != checksum:
        return None
    table = fields.entry_count * fields.entry_size
    if not 0 <= entries <= len(buffer) - table:
        return None
    (found,) = struct.unpack_from("<I", header, _ENTRIES_CRC)
    if zlib.crc32(buffer[entries : entries + table]) != found:
        return None
    return _Half(header, fields, entries)


def _backup_half(backup: bytes, sector: int) -> _Half | None:
    fields = parse_gpt_header(backup[-sector:])
    if fields is None:
        return None
    at = len(backup) - sector
    return _half(backup, at, fields.own - at // sector, sector)


def _renew(
    buffer: bytearray,
    at: int,
    half: _Half,
    values: Mapping[int, int],
    places: _Places,
) -> None:
    """Write the header's new 64-bit fields, the partitions' new ends, and both checksums."""
    size, count = half.fields.entry_size, half.fields.entry_count
    sector = places.sector
    for number, end in places.ends.items():
        entry = half.entries + (number - 1) * size
        struct.pack_into("<Q", buffer, entry + _LAST_LBA, end // sector - 1)
        if number in places.starts:
            struct.pack_into("<Q", buffer, entry + _FIRST_LBA, places.starts[number] // sector)
    header = bytearray(half.header)
    for offset, value in values.items():
        struct.pack_into("<Q", header, offset, value)
    if places.ends:
        entries = buffer[half.entries : half.entries + size * count]
        struct.pack_into("<I", header, _ENTRIES_CRC, zlib.crc32(entries))
    buffer[at : at + sector] = _signed(header)


def _copy(boot: bytearray, primary: _Half, backup: bytearray, start: int, sector: int) -> None:
    """Make the backup, which begins at sector `start`, of a primary that is as it should be."""
    header = bytearray(boot[sector : 2 * sector])
    size = primary.fields.entry_count * primary.fields.entry_size
    if size > len(backup) - sector:
        raise FormatError("the image keeps no place for the backup of its GPT")
    (other,) = struct.unpack_from("<Q", header, _OTHER)
    for offset, value in ((_OWN, other), (_OTHER, 1), (_ENTRIES, start)):
        struct.pack_into("<Q", header, offset, value)
    backup[:size] = boot[primary.entries : primary.entries + size]
    backup[-sector:] = _signed(header)


def _signed(header: bytearray) -> bytes:
    """The header with its own checksum."""
    (length,) = struct.unpack_from("<I", header, 12)
    struct.pack_into("<I", header, _CRC, 0)
    struct.pack_into("<I", header, _CRC, zlib.crc32(header[:length]))
    return bytes(header)


def _moves(buffer: bytes, half: _Half, places: _Places) -> list[Move]:
    """The same changes for a hybrid MBR, which has some partitions a second time."""
    moves = []
    for number, end in places.ends.items():
        entry = half.entries + (number - 1) * half.fields.entry_size
        first, last = struct.unpack_from("<QQ", buffer, entry + _FIRST_LBA)
        start = places.starts.get(number, first * places.sector) // places.sector
        moves.append(Move(first, last + 1, end // places.sector, start))
    return moves


def is_sound(boot: bytes, sector: int) -> bool:
    """Whether the primary GPT in these bytes from sector 0 on has the checksums that it should."""
    return _half(boot, sector, 0, sector) is not None


def said_by_primary(boot: bytes, sector: int) -> bytes | None:
    """The disk's id and entries in these bytes from sector 0 on; None when they are not sound."""
    return _said(boot, _half(boot, sector, 0, sector))


def said_by_backup(backup: bytes, sector: int) -> bytes | None:
    """The same of bytes that end with the backup's header."""
    return _said(backup, _backup_half(backup, sector))


def _said(buffer: bytes, half: _Half | None) -> bytes | None:
    if half is None:
        return None
    size = half.fields.entry_count * half.fields.entry_size
    entries = buffer[half.entries : half.entries + size]
    # A table may have room for more of them than its other copy.
    return half.header[_DISK_ID : _DISK_ID + 16] + entries.rstrip(b"\0")
