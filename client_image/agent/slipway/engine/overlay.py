# SPDX-License-Identifier: GPL-3.0-or-later
"""What a segment of an image holds, with changes on top; the image is never changed.

A tool that makes a file system smaller writes mostly what it has read elsewhere. Of such a page
only the place in the image is kept; the rest stays in memory, at most a share of what is free.
"""

from __future__ import annotations

import errno
import os
import threading
from array import array
from collections import OrderedDict

from slipway.engine.cells import zeros
from slipway.engine.errors import SlipwayError
from slipway.engine.progress import Meter
from slipway.engine.store import ChunkSource, fetch_content
from slipway.format import Cell, Segment

_PAGE = 4096
_NOTHING = bytes(_PAGE)
# Cells that stay unpacked: tools go back and forth between a bitmap and what it is about.
_CELLS = 32
# Pages read last that are known again when they are written: 512 MiB, since kernels write late.
_SEEN = 1 << 17
# Where a page's content is, if it is not that of another page of the image.
_SAME, _ZERO, _HELD = -1, -2, -3


class _Places:
    """Where the content of each page is: `_SAME` for all that were never put elsewhere."""

    _BLOCK = 256

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}

    def __getitem__(self, page: int) -> int:
        block = self._blocks.get(page // self._BLOCK)
        return _SAME if block is None else block[page % self._BLOCK]

    def __setitem__(self, page: int, place: int) -> None:
        number = page // self._BLOCK
        block = self._blocks.get(number)
        if block is None:
            if place == _SAME:
                return
            block = self._blocks[number] = array("q", [_SAME] * self._BLOCK)
        block[page % self._BLOCK] = place

    @property
    def bytes(self) -> int:
        return len(self._blocks) * self._BLOCK * 8


class Overlay:
    """A segment's content with changes on top. Offsets count from the segment's first byte."""

    def __init__(self, segment: Segment, store: ChunkSource, cell_size: int, meter: Meter) -> None:
        """Nothing is changed yet, nor may it be. `meter` counts what is fetched."""
        self.segment = segment
        self._store = store
        self._cell_size = cell_size
        self._meter = meter
        self.limit = 0
        """Bytes of changes that may be held."""
        self._cells: dict[int, Cell] = {cell.number: cell for cell in segment.cells(cell_size)}
        self._fetched: OrderedDict[int, memoryview] = OrderedDict()
        self._places = _Places()
        self._pages: dict[int, bytearray] = {}
        # Hashes of pages read, and where in the image they are.
        self._seen: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()
        self.problem: SlipwayError | None = None
        """What stopped a read, which the tool only knows as an I/O error."""
        self.full = False
        """Whether a write was refused because of the limit."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes as they are now, for a tool; zeros where the image keeps nothing."""
        return self._read(offset, size, remember=True)

    def look(self, offset: int, size: int) -> bytes:
        """The same for the agent itself, with the real error."""
        try:
            return self._read(offset, size, remember=False)
        except OSError as error:
            raise self.problem or error from error

    def write(self, offset: int, data: bytes) -> int:
        """Keep a change."""
        with self._lock:
            position = 0
            while position < len(data):
                page, start = divmod(offset + position, _PAGE)
                length = min(_PAGE - start, len(data) - position)
                piece = data[position : position + length]
                if length == _PAGE:
                    self._put(page, piece)
                else:
                    self._patch(page, start, piece)
                position += length
            return len(data)

    @property
    def held(self) -> int:
        """Bytes that the changes take."""
        return len(self._pages) * _PAGE + self._places.bytes

    def touched(self, start: int, end: int) -> bool:
        """Whether anything in `[start, end)` is not what the image has there."""
        pages = range(start // _PAGE, -(-end // _PAGE))
        return any(self._places[page] != _SAME for page in pages)

    def _read(self, offset: int, size: int, remember: bool) -> bytes:
        with self._lock:
            result = bytearray(size)
            position = offset
            while position < offset + size:
                page, start = divmod(position, _PAGE)
                length = min(_PAGE - start, offset + size - position)
                content = self._now(page, start, length)
                if remember and length == _PAGE:
                    self._remember(page, content)
                at = position - offset
                result[at : at + length] = content
                position += length
            return bytes(result)

    def _now(self, page: int, start: int, length: int) -> bytes:
        place = self._places[page]
        if place == _HELD:
            return bytes(self._pages[page][start : start + length])
        if place == _ZERO:
            return bytes(length)
        return self._original((page if place == _SAME else place) * _PAGE + start, length)

    def _remember(self, page: int, content: bytes) -> None:
        place = self._places[page]
        if place in (_HELD, _ZERO) or content == _NOTHING:
            return
        key = hash(content)
        self._seen[key] = page if place == _SAME else place
        self._seen.move_to_end(key)
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)

    def _put(self, page: int, content: bytes) -> None:
        """Give a whole page its content."""
        place = self._place_of(page, content)
        if place == _HELD:
            self._hold(page)
            self._pages[page][:] = content
        else:
            self._places[page] = place
            self._pages.pop(page, None)

    def _patch(self, page: int, start: int, piece: bytes) -> None:
        if self._places[page] != _HELD:
            before = self._now(page, 0, _PAGE)
            self._hold(page)
            self._pages[page][:] = before
        self._pages[page][start : start + len(piece)] = piece

    def _place_of(self, page: int, content: bytes) -> int:
        if content == _NOTHING:
            return _ZERO if page * _PAGE // self._cell_size in self._cells else _SAME
        source = self._seen.get(hash(content))
        if source is None or self._original(source * _PAGE, _PAGE) != content:
            return _HELD
        return _SAME if source == page else source

    def _hold(self, page: int) -> None:
        if page not in self._pages:
            if self.held + _PAGE > self.limit:
                self.full = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._pages[page] = bytearray(_PAGE)
        self._places[page] = _HELD

    def _original(self, offset: int, size: int) -> bytes:
        """Within one page, and so within one cell."""
        number, start = divmod(offset, self._cell_size)
        cell = self._cells.get(number)
        if cell is None:
            return bytes(size)
        content = self._fetched.get(number)
        if content is None:
            content = self._fetch(cell)
            self._fetched[number] = content
            if len(self._fetched) > _CELLS:
                self._fetched.popitem(last=False)
        else:
            self._fetched.move_to_end(number)
        return bytes(content[start : start + size]).ljust(size, b"\0")

    def _fetch(self, cell: Cell) -> memoryview:
        try:
            buffer = memoryview(bytearray(zeros(self._cell_size)))
            content = fetch_content(self._store, cell.digest, cell.size, buffer)
        except SlipwayError as error:
            self.problem = error
            raise OSError(errno.EIO, error.message) from error
        self._meter.add(done=cell.size)
        return content
