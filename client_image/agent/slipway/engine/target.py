# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is being restored. Until it is whole again, it must not boot."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from contextlib import suppress

from slipway.engine.cells import Runs, read_at, write_at, write_cell
from slipway.engine.devices import BlockDisk
from slipway.engine.direct import open_direct
from slipway.engine.errors import DeviceError
from slipway.format import MIN_CELL, Disk, Segment

_BLKRRPART = 0x125F
_BLKFLSBUF = 0x1261
_GPT_SIGNATURE = b"EFI PART"
# Written data goes to the disk in steps of this size, so that the end is not one long wait.
_FLUSH = 256 << 20
# Shorter runs than this are better off in the page cache, which joins them.
_LONG = 64 << 10


class Target:
    """The target disk: opened to read at once, to write at the first byte that differs."""

    def __init__(self, disk: BlockDisk, image: Disk, handle: int) -> None:
        """`handle` is the disk opened to read, with the claim on it."""
        self.disk = disk
        self.handle = handle
        self._image = image
        self._writer = -1
        self._direct = -1
        self._disarmed = False
        self._only: Segment | None = None
        self._unflushed = 0
        self._lock = threading.Lock()
        self.changes = 0
        """Grows with every write: what was seen before the last one may be no more."""

    @property
    def touched(self) -> bool:
        """Whether anything was written."""
        return self._writer >= 0

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the disk."""
        buffer = bytearray(size)
        read_at(self.handle, memoryview(buffer), offset)
        return bytes(buffer)

    def write_cell(self, content: memoryview, offset: int, runs: Runs) -> int:
        """Write the used runs of a cell; the table is out of force before the first byte.

        Long runs go past the page cache when `content` is an aligned buffer, as it is in a
        restore: copying them there and from there takes as long as unpacking them.
        """
        handle = self.disarm()
        self.changes += 1
        if self._direct >= 0 and _suits_direct(offset, runs):
            return write_cell(self._direct, content, offset, runs)
        count = write_cell(handle, content, offset, runs)
        with self._lock:
            self._unflushed += count
            flush = self._unflushed >= _FLUSH
            self._unflushed = 0 if flush else self._unflushed
        if flush:
            self.flush()
        return count

    def write(self, offset: int, content: bytes) -> None:
        """Write a piece of the table, or of what lies in no cell."""
        self.changes += 1
        write_at(self.disarm(), memoryview(content), offset)

    def only(self, segment: Segment) -> None:
        """Restore this partition and nothing else: its head is the mark, the table stays."""
        self._only = segment
        self._disarmed = False

    def disarm(self) -> int:
        """Open the disk to write, and once, before anything else, clear the old table's marks."""
        with self._lock:
            if self._writer < 0:
                try:
                    self._writer = os.open(self.disk.path, os.O_RDWR | os.O_CLOEXEC)
                except OSError as error:
                    raise DeviceError(
                        f"{self.disk.path} can't be opened to write: {error.strerror}"
                    ) from error
                self._direct = open_direct(self.disk, os.O_RDWR)
            if not self._disarmed:
                self._clear_marks(self._writer)
                self._disarmed = True
            return self._writer

    def clear_again(self) -> None:
        """The disk turned out not to hold what was written: it must not boot."""
        self._disarmed = False
        self.disarm()

    def _clear_marks(self, handle: int) -> None:
        if self._only is not None:
            # Without its superblock no system takes the partition for a sound file system.
            for start, end in self._only.used.within(0, MIN_CELL):
                write_at(handle, memoryview(bytes(end - start)), self._only.offset + start)
            _sync(handle, self.disk)
            return
        sector = self.disk.logical_sector
        last = self.disk.size - sector
        write_at(handle, memoryview(bytes(sector)), 0)
        for offset in (sector, last):
            if self._is_content(offset) or self.read(offset, 8) != _GPT_SIGNATURE:
                continue
            write_at(handle, memoryview(bytes(sector)), offset)
        _sync(handle, self.disk)

    def _is_content(self, offset: int) -> bool:
        """Whether the image keeps a partition's data there, which is no table's mark."""
        return any(
            segment.used.touches(offset - segment.offset, offset - segment.offset + 1)
            for segment in self._image.segments
            if segment.kind == "partition" and segment.offset <= offset
        )

    def flush(self) -> None:
        """Wait until all that was written is on the disk."""
        if self._writer >= 0:
            _sync(self._writer, self.disk)

    def drop_caches(self) -> None:
        """Have the next read come from the disk, as far as the kernel decides."""
        self.flush()
        with suppress(OSError):
            fcntl.ioctl(self.handle, _BLKFLSBUF)
        os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def reread_table(self) -> None:
        """Tell the kernel about the new partitions; a file has no kernel view to renew."""
        with suppress(OSError):
            fcntl.ioctl(self.handle, _BLKRRPART)

    def close(self) -> None:
        """Give up the right to write."""
        for handle in (self._writer, self._direct):
            if handle >= 0:
                os.close(handle)


def _suits_direct(offset: int, runs: Runs) -> bool:
    """Whether these are few and whole pages: no page may be written in both ways."""
    size = sum(end - start for start, end in runs)
    return size >= _LONG * len(runs) and not any(
        (offset + edge) % mmap.PAGESIZE for run in runs for edge in run
    )


def _sync(handle: int, disk: BlockDisk) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        raise DeviceError(
            f"{disk.path} lost written data: {error.strerror}", "replace the disk"
        ) from error
