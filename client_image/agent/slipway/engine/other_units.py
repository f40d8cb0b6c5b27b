# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that count in sectors of another size than their disk has here.

A disk that was partitioned in an enclosure with sectors of 4096 bytes has 512 elsewhere, and the
other way round. Each partition then seems to begin at an eighth of its place, or at eight times
that.
"""

from __future__ import annotations

from slipway.engine.cells import read_at
from slipway.engine.content.registry import identify, kind_of
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import DeviceError
from slipway.engine.table import is_container, parse_gpt_header
from slipway.format import Table

_SIZES = (512, 4096)


def other_units(disk: BlockDisk, handle: int, table: Table) -> int:
    """The sector size in bytes that the disk's table seems to be written in; 0 if it is its own."""
    own = disk.logical_sector
    others = [size for size in _SIZES if size != own]
    if _has_gpt(handle, own):
        return 0
    if found := next((size for size in others if _has_gpt(handle, size)), 0):
        return found
    if table.kind != "dos" or _contents(disk, table, own):
        return 0
    return next((size for size in others if _contents(disk, table, size)), 0)


def hint(units: int, disk: BlockDisk, disk_id: str) -> str:
    """What that means for a user, and what helps."""
    return (
        f"its table may be in units of {units} bytes, and is read here in units of "
        f"{disk.logical_sector}: save all of it with --whole {disk_id}:disk, or connect it as it "
        "was when it was partitioned (USB enclosures differ in this)"
    )


def _has_gpt(handle: int, sector: int) -> bool:
    buffer = memoryview(bytearray(sector))
    try:
        read_at(handle, buffer, sector)
    except DeviceError:
        return False
    header = parse_gpt_header(bytes(buffer))
    return header is not None and header.own == 1


def _contents(disk: BlockDisk, table: Table, unit: int) -> bool:
    """Whether blkid knows anything where partitions begin when sectors have that size."""
    for line in table.partitions:
        start, size = line.start * unit, line.size * unit
        size = min(size, disk.size - start)
        if size <= 0 or is_container(table, line):
            continue
        if kind_of(identify(disk.path, start, size)):
            return True
    return False
