# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading around what a failing disk does not give, down to single sectors.

First the whole disk is walked through, and cells that fail are put aside: what is healthy is safe
before the disk is worn any further. Then the cells put aside are read in pieces, and pieces that
fail sector by sector, each tried a few times. Nothing of this goes through the page cache, whose
pages are larger than sectors.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from slipway.engine.cells import ReadError, Runs, read_at, zeros
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import DeviceError

MAX_UNREADABLE = 64 << 20
MAX_SECONDS = 3600.0
_PIECE = 64 << 10
_TRIES = 3


@dataclass
class Budget:
    """What a backup may lose, and how long it may wait for reads that fail. Of all its disks."""

    bytes: int = MAX_UNREADABLE
    seconds: float = MAX_SECONDS
    lost: int = 0
    spent: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.spent > self.seconds


class Rescuer:
    """Reads what the disk still gives, and says exactly what it does not."""

    def __init__(
        self, disk: BlockDisk, budget: Budget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """The disks of a backup share one budget."""
        self._disk = disk
        self._budget = budget
        self._clock = clock
        # Direct reads need memory that begins at a page.
        self._memory = memoryview(mmap.mmap(-1, _PIECE))
        self._good = 0

    def put_aside(self, error: ReadError, seconds: float) -> None:
        """A cell failed in passing. Raises when the disk is gone or fails all the time."""
        self._budget.spent += seconds
        self.check_present(error)
        if self._budget.over:
            minutes = round(self._budget.seconds / 60)
            raise DeviceError(
                f"{self._disk.path}: reads that failed took more than {minutes} minutes, and much "
                f"of the disk is still unread; the last one: {error.message}",
                "copy what it still gives to another disk (ddrescue) and save that, "
                "or give it more time with --rescue-minutes",
            ) from error

    def read_cell(self, buffer: memoryview, offset: int, runs: Runs) -> Runs:
        """Fill `buffer` as `cells.read_cell` does, zeros for what can't be read; return that."""
        lost: Runs = []
        position = 0
        handle = self._open_direct()
        try:
            for start, end in runs:
                buffer[position:start] = zeros(start - position)
                for first in range(start, end, _PIECE):
                    view = buffer[first : min(first + _PIECE, end)]
                    gone = self._piece(handle, view, offset + first)
                    lost += [(first + a, first + b) for a, b in gone]
                position = end
            buffer[position:] = zeros(len(buffer) - position)
        finally:
            os.close(handle)
        if lost:
            # No zeros from a disk that went away meanwhile.
            self.check_present()
        return lost

    def check_present(self, cause: ReadError | None = None) -> None:
        """Raise when the disk gives nothing any more, not even what it gave before."""
        last = self._disk.size - self._disk.logical_sector
        with suppress(OSError):
            handle = self._open_direct()
            try:
                if os.lseek(handle, 0, os.SEEK_END) == self._disk.size:
                    for offset in (self._good, 0, last):
                        with suppress(ReadError):
                            self._read(handle, self._disk.logical_sector, offset)
                            return
            finally:
                os.close(handle)
        raise DeviceError(
            f"{self._disk.path} does not answer any more"
            + (f": {cause.message}" if cause is not None else ""),
            "check its cable and power, then run the backup again: it sends only what is missing",
        )

    def _open_direct(self) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC
        if not self._disk.is_file:
            with suppress(OSError):
                return os.open(self._disk.path, flags | os.O_DIRECT)
        return os.open(self._disk.path, flags)

    def _read(self, handle: int, size: int, offset: int) -> memoryview:
        began = self._clock()
        try:
            read_at(handle, self._memory[:size], offset)
        except ReadError:
            self._budget.spent += self._clock() - began
            raise
        self._good = offset
        return self._memory[:size]

    def _piece(self, handle: int, view: memoryview, offset: int) -> Runs:
        """Read one piece; return what of it can't be read, relative to it."""
        try:
            view[:] = self._read(handle, len(view), offset)
            return []
        except ReadError:
            pass
        lost: Runs = []
        for start in range(0, len(view), self._disk.logical_sector):
            end = min(start + self._disk.logical_sector, len(view))
            if not self._sector(handle, view[start:end], offset + start):
                view[start:end] = zeros(end - start)
                lost.append((start, end))
        self._count(sum(end - start for start, end in lost))
        return lost

    def _sector(self, handle: int, view: memoryview, offset: int) -> bool:
        # Once the time is up, what is left of pieces that failed is given up untried.
        for _ in range(0 if self._budget.over else _TRIES):
            with suppress(ReadError):
                view[:] = self._read(handle, len(view), offset)
                return True
        return False

    def _count(self, size: int) -> None:
        self._budget.lost += size
        if self._budget.lost > self._budget.bytes:
            raise DeviceError(
                f"{self._disk.path}: more than {self._budget.bytes} bytes can't be read; "
                "no version was published",
                "copy what it still gives to another disk (ddrescue) and save that, "
                "or accept more with --max-unreadable",
            )
