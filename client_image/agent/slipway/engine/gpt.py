"""Moving a GPT to the end of a larger disk: arithmetic on bytes, nothing else."""

from __future__ import annotations

import struct
import zlib

from slipway.engine.table import parse_gpt_header
from slipway.format import FormatError

_CRC = 16
_OWN, _OTHER, _LAST_USABLE, _ENTRIES = 24, 32, 48, 72
_PMBR_FIRST, _PMBR_STEP, _PMBR_COUNT = 446, 16, 4


def grow(
    boot: bytes, backup: bytes, sector: int, old_size: int, new_size: int
) -> tuple[bytes, bytes, int]:
    """The boot area and the backup GPT for a disk of `new_size` bytes, and where the latter goes.

    `boot` begins at sector 0; `backup` ends with the backup header.
    """
    primary, header = boot[sector : 2 * sector], backup[-sector:]
    old, old_backup = parse_gpt_header(primary), parse_gpt_header(header)
    if old is None or old_backup is None:
        raise FormatError("the image's GPT has no valid header")
    last = new_size // sector - 1
    entries = last - (len(backup) // sector - 1)
    own = last - old_backup.own
    values = {_OTHER: last, _LAST_USABLE: entries - 1}
    new_primary = _patched(primary, values)
    new_header = _patched(
        header, {_OWN: old_backup.own + own, _LAST_USABLE: entries - 1, _ENTRIES: entries}
    )
    protective = _grow_protective(boot[:sector], old_size // sector, new_size // sector)
    new_boot = protective + new_primary + boot[2 * sector :]
    return new_boot, backup[:-sector] + new_header, entries * sector


def _patched(header: bytes, values: dict[int, int]) -> bytes:
    """A header with 64-bit fields replaced and its checksum made right."""
    result = bytearray(header)
    for offset, value in values.items():
        struct.pack_into("<Q", result, offset, value)
    (length,) = struct.unpack_from("<I", result, 12)
    if not 92 <= length <= len(result):
        raise FormatError("the image's GPT header has an impossible length")
    struct.pack_into("<I", result, _CRC, 0)
    struct.pack_into("<I", result, _CRC, zlib.crc32(result[:length]))
    return bytes(result)


def _grow_protective(mbr: bytes, old_sectors: int, new_sectors: int) -> bytes:
    """The protective MBR's entry follows the disk, when it covered all of the old one."""
    result = bytearray(mbr)
    for index in range(_PMBR_COUNT):
        at = _PMBR_FIRST + index * _PMBR_STEP
        start, count = struct.unpack_from("<II", result, at + 8)
        if result[at + 4] == 0xEE and start + count == min(old_sectors, 1 << 32):
            struct.pack_into("<I", result, at + 12, min(new_sectors - start, 0xFFFFFFFF))
    return bytes(result)
