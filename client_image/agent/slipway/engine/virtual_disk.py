# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk of a version as the bytes that a restore onto an empty disk would leave, read-only.

A chunk is fetched and proven when a byte of it is asked for. What the image does not keep is zero;
a chunk that is missing or wrong is an error, never zeros.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator

from slipway.engine.errors import UsageError
from slipway.engine.fit import Fit
from slipway.engine.store import ChunkSource, fetch_content
from slipway.engine.table_writer import restored_table
from slipway.format import Disk, Manifest, Segment

# Programs that read a file system go back and forth between its trees and its files.
CACHE = 64 << 20
GRAIN = 64 << 10


class VirtualDisk:
    """A version's disk that many threads may read. Offsets and sizes are bytes."""

    def __init__(
        self, manifest: Manifest, disk_id: str, store: ChunkSource, cache: int = CACHE
    ) -> None:
        """`cache` bounds the bytes of chunks that stay unpacked. UsageError: no such disk."""
        self.disk = _disk(manifest, disk_id)
        self.size = self.disk.size
        self._store = store
        self._cell_size = manifest.cell_size
        self._cells_kept = max(cache // manifest.cell_size, 1)
        self._cells: OrderedDict[tuple[str, int], memoryview] = OrderedDict()
        self._lock = threading.Lock()
        self._segments = [_Stretch(segment, self._cell_size) for segment in self.disk.segments]
        self._starts = [each.segment.offset for each in self._segments]
        self._tables = self._remade_tables()

    def read(self, offset: int, size: int) -> bytes:
        """These bytes. ImageDamaged names the chunk that is missing or not what its name says."""
        result = bytearray(size)
        for start, end, stretch in self._used(offset, offset + size):
            while start < end:
                number, within = divmod(start - stretch.segment.offset, self._cell_size)
                length = min(self._cell_size - within, end - start)
                content = self._cell(stretch, number)
                result[start - offset : start - offset + length] = content[within : within + length]
                start += length
        for at, table in self._tables:
            start, end = max(at, offset), min(at + len(table), offset + size)
            if start < end:
                result[start - offset : end - offset] = table[start - at : end - at]
        return bytes(result)

    def extents(self, offset: int, size: int) -> Iterator[tuple[int, int, bool]]:
        """The same stretch in order as `(start, end, used)`; what is not used is zero.

        Holes shorter than `GRAIN` count as used: nobody gains by a request for each.
        """
        end = offset + size
        used = [(a, b) for a, b, _ in self._used(offset, end)]
        used += [
            (max(at, offset), min(at + len(table), end))
            for at, table in self._tables
            if at < end and offset < at + len(table)
        ]
        position = offset
        for start, stop in sorted(used):
            if start - position >= GRAIN:
                yield position, start, False
                position = start
            if position < stop:
                yield position, stop, True
                position = stop
        if position < end:
            yield position, end, False

    def _used(self, start: int, end: int) -> Iterator[tuple[int, int, _Stretch]]:
        """The used runs of `[start, end)` on the disk, and whose they are.

        No segment reaches into another one but the first, on a disk without a table.
        """
        first = max(bisect_right(self._starts, start) - 1, 1)
        last = bisect_left(self._starts, end)
        for stretch in [*self._segments[:1], *self._segments[first:last]]:
            begin = stretch.segment.offset
            low, high = max(start - begin, 0), min(end - begin, stretch.segment.size)
            for a, b in stretch.segment.used.within(low, high) if low < high else ():
                yield begin + a, begin + b, stretch

    def _cell(self, stretch: _Stretch, number: int) -> memoryview:
        key = (stretch.segment.id, number)
        with self._lock:
            if key not in self._cells:
                size = min(self._cell_size, stretch.segment.size - number * self._cell_size)
                self._cells[key] = fetch_content(self._store, stretch.digest(number), size)
                if len(self._cells) > self._cells_kept:
                    self._cells.popitem(last=False)
            self._cells.move_to_end(key)
            return self._cells[key]

    def _remade_tables(self) -> list[tuple[int, bytes]]:
        """Tables of which the source disk did not give a part: a restore makes that anew."""
        if all(each.used.total for each in self.disk.segments if each.is_table):
            return []
        pieces = restored_table(self.disk, self._store, self._cell_size, self.size, Fit())
        return [(piece.offset, piece.content) for piece in pieces]


class _Stretch:
    """A segment, and where each of its cells stands among its digests."""

    def __init__(self, segment: Segment, cell_size: int) -> None:
        self.segment = segment
        self._numbers = array("q", segment.used.cells(cell_size))

    def digest(self, number: int) -> str:
        at = bisect_left(self._numbers, number) * 32
        return self.segment.digests[at : at + 32].hex()


def _disk(manifest: Manifest, disk_id: str) -> Disk:
    for disk in manifest.disks:
        if disk.id == disk_id:
            return disk
    raise UsageError(
        f"the image has no disk {disk_id}",
        f"it has {', '.join(disk.id for disk in manifest.disks)}",
    )
