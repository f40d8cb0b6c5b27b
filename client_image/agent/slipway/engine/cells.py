# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing cells: the only code that moves a disk's bytes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from slipway.engine.errors import DeviceError
from slipway.format import MAX_CELL, digest_and_key

# Two runs with a smaller gap are read in one go: cheaper than a second request to the disk.
_GAP = 128 << 10
_ZEROS = memoryview(bytes(MAX_CELL))

Runs = list[tuple[int, int]]


class ReadError(DeviceError):
    """The kernel could not read there: a bad sector, or a disk that is gone."""


def zeros(size: int) -> memoryview:
    """A view of `size` zero bytes, at most one cell."""
    return _ZEROS[:size]


def aligned_buffer(size: int) -> memoryview:
    """Memory that begins at a page, as reading and writing past the page cache asks for.

    In one piece where the kernel has it: then the disk's driver handles one page, not 512.
    """
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def digest_of_cell(content: memoryview) -> str:
    """The name of a cell's chunk."""
    return seal_of_cell(content)[0]


def seal_of_cell(content: memoryview) -> tuple[str, bytes]:
    """`digest_and_key`, ten times as fast when there are only zeros: many large disks are empty.

    Two memoryviews would be compared byte by byte in Python's terms, a bytearray is not.
    """
    blank, seal = _blank(len(content))
    return seal if blank == content else digest_and_key(content)


@lru_cache(maxsize=4)
def _blank(size: int) -> tuple[bytearray, tuple[str, bytes]]:
    return bytearray(size), digest_and_key(zeros(size))


def read_cell(handle: int, buffer: memoryview, offset: int, runs: Runs) -> None:
    """Fill `buffer` with a cell: the used `runs` from the disk, zeros everywhere else.

    `offset` is where the cell begins on the disk; `runs` count from there.
    """
    position = 0
    for start, end in _grouped(runs):
        read_at(handle, buffer[start:end], offset + start)
    for start, end in runs:
        if position < start:
            buffer[position:start] = _ZEROS[: start - position]
        position = end
    if position < len(buffer):
        buffer[position:] = _ZEROS[: len(buffer) - position]


def _grouped(runs: Runs) -> Iterable[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    for start, end in runs:
        if groups and start - groups[-1][1] < _GAP:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    return groups


def write_cell(handle: int, content: memoryview, offset: int, runs: Runs) -> int:
    """Write the used runs of a cell's content to the disk; return how many bytes that were."""
    for start, end in runs:
        write_at(handle, content[start:end], offset + start)
    return sum(end - start for start, end in runs)


def read_at(handle: int, buffer: memoryview, offset: int) -> None:
    """Fill the whole buffer from the disk."""
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(handle, [buffer[done:]], offset + done)
        except OSError as error:
            raise ReadError(
                f"reading at byte {offset + done} failed: {error.strerror}",
                "check the disk's health (smartctl) and its cable",
            ) from error
        if count == 0:
            raise DeviceError(f"the disk ends at byte {offset + done}, before its stated size")
        done += count


def write_at(handle: int, content: memoryview, offset: int) -> None:
    """Write all of `content` to the disk."""
    done = 0
    while done < len(content):
        try:
            done += os.pwrite(handle, content[done:], offset + done)
        except OSError as error:
            raise DeviceError(
                f"writing at byte {offset + done} failed: {error.strerror}",
                "check the disk's health (smartctl) and its cable, then restore again",
            ) from error
