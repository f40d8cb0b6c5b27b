"""What of a disk says how it is partitioned, for a program that stops at the first bad sector.

sfdisk looks at a disk's last sector whatever kind of table it has, and gives up when that can't be
read. Holes in the copy are zeros: where they hide a part of a table, reading that part again fails.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slipway.engine.cells import ReadError, read_at
from slipway.engine.devices import BlockDisk
from slipway.engine.table import MIB, Stretch


@contextmanager
def table_copy(disk: BlockDisk) -> Generator[TableCopy, None, None]:
    """A copy of the disk's first and last MiB."""
    handle = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with tempfile.NamedTemporaryFile(prefix="slipway-") as file:
            file.truncate(disk.size)
            copy = TableCopy(disk, handle, file)
            head = min(MIB, disk.size)
            copy.add(((0, head), (max(disk.size - MIB, head), disk.size)))
            yield copy
    finally:
        os.close(handle)


class TableCopy:
    """A file with parts of a disk, and holes elsewhere."""

    def __init__(self, disk: BlockDisk, handle: int, file: IO[bytes]) -> None:
        """Copy from `handle` to `file`."""
        self.handle = handle
        self.path = Path(file.name)
        self._sector = disk.logical_sector
        self._file = file

    def add_stretches(self, stretches: Iterable[Stretch]) -> None:
        """Copy these, too."""
        self.add((each.offset, each.offset + each.size) for each in stretches)

    def add(self, spans: Iterable[tuple[int, int]]) -> None:
        """Copy byte ranges; sectors that can't be read stay holes."""
        buffer = memoryview(bytearray(self._sector))
        for start, end in spans:
            for at in range(start, end - self._sector + 1, self._sector):
                try:
                    read_at(self.handle, buffer, at)
                except ReadError:
                    continue
                if any(buffer):
                    self._file.seek(at)
                    self._file.write(buffer)
        self._file.flush()
