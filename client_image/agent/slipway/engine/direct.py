# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks opened past the page cache.

Through it, the kernel fetches a disk in pieces of its read-ahead, usually 128 KiB, waits for each,
and every byte is copied once more: that costs more than hashing it. Cells are read once, in one
piece each, and no cache helps the next one.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Generator
from contextlib import contextmanager

from slipway.engine.cells import aligned_buffer, read_at
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import DeviceError


def open_direct(disk: BlockDisk, flags: int) -> int:
    """The disk opened without the page cache, or -1 where that does not work to the sector.

    A file lies in the cache of its own file system, where it is best read.
    """
    if disk.is_file:
        return -1
    try:
        handle = os.open(disk.path, flags | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        return -1
    sector = disk.logical_sector
    try:
        # Used ranges begin at any sector, on the disk and in the buffer.
        read_at(handle, aligned_buffer(2 * mmap.PAGESIZE)[sector : 2 * sector], sector)
    except DeviceError:
        os.close(handle)
        return -1
    return handle


@contextmanager
def cell_reader(disk: BlockDisk, handle: int) -> Generator[int, None, None]:
    """What to read cells of an opened disk from, in multiples of its sectors.

    Buffers have to begin at a page, as `aligned_buffer` makes them.
    """
    direct = open_direct(disk, os.O_RDONLY)
    try:
        yield handle if direct < 0 else direct
    finally:
        if direct >= 0:
            os.close(direct)
