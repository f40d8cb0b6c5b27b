# SPDX-License-Identifier: GPL-3.0-or-later
"""Dynamic disks of Windows: which disks are in the group, by the database that each of them holds.

Facts about its records are those of the Linux kernel's block/partitions/ldm.h. Numbers are
big-endian. Nothing else of the database is needed here: partitions of such disks are saved whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

from slipway.engine.cells import ReadError, read_at
from slipway.engine.content.spread import Share
from slipway.engine.devices import clean
from slipway.engine.partition_types import LDM_DATA, LDM_DATABASE
from slipway.engine.table import MIB, Stretch
from slipway.format import Table

# A private header: id of the disk, id and name of the group, as text that ends with a zero byte.
_HEADER, _DISK_AT, _GROUP_NAME_AT, _ID, _NAME = b"PRIVHEAD", 0x30, 0xF0, 64, 31
_RECORD, _KIND_AT, _DATA_AT = b"VBLK", 0x13, 0x18
# Records of a disk, of older and newer databases: text and bytes.
_TEXT_ID, _BYTES_ID = 0x34, 0x44
_STEP = 128


def share_of(table: Table, stretches: Iterable[Stretch], handle: int, size: int) -> Share | None:
    """What this disk is a part of; None when it is no dynamic disk, or has no database."""
    own, group, members = "", "", dict[str, str]()
    for start, end in _places(table, stretches, size):
        buffer = bytearray(end - start)
        # What can't be read is missed by the restored disk, too: its version is degraded.
        with suppress(ReadError):
            read_at(handle, memoryview(buffer), start)
        text = bytes(buffer)
        for at in range(0, len(text) - _STEP, _STEP):
            if text.startswith(_HEADER, at):
                own = _until_zero(text[at + _DISK_AT : at + _DISK_AT + _ID]).lower()
                group = _until_zero(text[at + _GROUP_NAME_AT : at + _GROUP_NAME_AT + _NAME])
            elif text.startswith(_RECORD, at) and text[at + _KIND_AT] in (_TEXT_ID, _BYTES_ID):
                name, disk = _disk(text[at : at + _STEP])
                members[disk] = name
    if not own or not members:
        return None
    return Share(f"disk group {group}", own, tuple(members.items()))


def is_data(table: Table, number: int | None) -> bool:
    """Whether volumes of a dynamic disk lie in this partition."""
    return any(
        line.number == number and line.type.removeprefix("0x").upper() in LDM_DATA
        for line in table.partitions
    )


def _places(table: Table, stretches: Iterable[Stretch], size: int) -> Iterator[tuple[int, int]]:
    """Where headers and records are: a partition, or the disk's begin and its last MiB."""
    types = {line.number: line.type.upper() for line in table.partitions}
    if table.kind == "dos" and any(is_data(table, number) for number in types):
        yield 0, min(64 * 512, size)
        yield max(size - MIB, 0), size
    for stretch in stretches:
        if types.get(stretch.partition or 0) == LDM_DATABASE:
            end = stretch.offset + stretch.size
            yield stretch.offset, min(end, stretch.offset + 16 * MIB)


def _disk(record: bytes) -> tuple[str, str]:
    """Name and id in the record of a disk: behind a number, each with its length in front."""
    at = _DATA_AT
    at += 1 + record[at]
    name = record[at + 1 : at + 1 + record[at]]
    at += 1 + record[at]
    if record[_KIND_AT] == _BYTES_ID:
        return clean(name.decode("latin-1")), str(UUID(bytes=record[at : at + 16].ljust(16, b"\0")))
    return clean(name.decode("latin-1")), _until_zero(record[at + 1 : at + 1 + record[at]]).lower()


def _until_zero(text: bytes) -> str:
    return clean(text.partition(b"\0")[0].decode("latin-1"))
