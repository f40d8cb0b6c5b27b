"""A file that holds what a segment of an image holds, fetched when it is read.

Tools that shrink a file system want all of it; most of it they never look at. What they write stays
in memory, at most a share of what is free, and the image is never changed. Needs FUSE (fusepy).
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from slipway.engine.cells import zeros
from slipway.engine.errors import SlipwayError, ToolError
from slipway.engine.progress import Meter
from slipway.engine.run import run
from slipway.engine.store import ChunkSource, fetch_content
from slipway.format import Cell, Segment

NAME = "partition"
_PAGE = 4096
# Cells that stay unpacked: tools go back and forth between a bitmap and what it is about.
_CELLS = 32
_SHARE = 0.5
_PATIENCE = 20.0
_CLONE_NEWNS, _MS_REC, _MS_SLAVE = 0x20000, 0x4000, 0x80000
_libc = ctypes.CDLL(None, use_errno=True)


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
        self._pages: dict[int, bytearray] = {}
        self._lock = threading.Lock()
        self.problem: SlipwayError | None = None
        """What stopped a read, which the tool only knows as an I/O error."""
        self.full = False
        """Whether a write was refused because of the limit."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes as they are now; zeros where the image keeps nothing."""
        with self._lock:
            result = bytearray(size)
            position = offset
            while position < offset + size:
                page, start = divmod(position, _PAGE)
                length = min(_PAGE - start, offset + size - position)
                at = position - offset
                if page in self._pages:
                    result[at : at + length] = self._pages[page][start : start + length]
                else:
                    result[at : at + length] = self._original(position, length)
                position += length
            return bytes(result)

    def look(self, offset: int, size: int) -> bytes:
        """The same for the agent itself, with the real error."""
        try:
            return self.read(offset, size)
        except OSError as error:
            raise self.problem or error from error

    def write(self, offset: int, data: bytes) -> int:
        """Keep a change."""
        with self._lock:
            position = 0
            while position < len(data):
                page, start = divmod(offset + position, _PAGE)
                length = min(_PAGE - start, len(data) - position)
                if page not in self._pages:
                    if (len(self._pages) + 1) * _PAGE > self.limit:
                        self.full = True
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    before = self._original(page * _PAGE, _PAGE) if length < _PAGE else b""
                    self._pages[page] = bytearray(before) or bytearray(_PAGE)
                self._pages[page][start : start + length] = data[position : position + length]
                position += length
            return len(data)

    @property
    def held(self) -> int:
        """Bytes that the changes take."""
        return len(self._pages) * _PAGE

    def touched(self, start: int, end: int) -> bool:
        """Whether anything in `[start, end)` was written."""
        pages = range(start // _PAGE, -(-end // _PAGE))
        return any(page in self._pages for page in pages)

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


@contextmanager
def mounted(overlay: Overlay) -> Generator[Path, None, None]:
    """The content as a file that other programs read and write; gone at the end."""
    fuse = _fuse()
    hide_mounts()
    with tempfile.TemporaryDirectory(prefix="slipway-lazy-") as folder:
        server = threading.Thread(target=_serve, args=(fuse, overlay, folder), daemon=True)
        server.start()
        path = Path(folder) / NAME
        deadline = time.monotonic() + _PATIENCE
        while not path.exists():
            if not server.is_alive() or time.monotonic() > deadline:
                raise ToolError("FUSE does not work here", "load the kernel module fuse")
            time.sleep(0.01)
        try:
            yield path
        finally:
            # Lazily: udev may still look at a loop device over it.
            run(["umount", "--lazy", folder])
            server.join(_PATIENCE)


def hide_mounts() -> None:
    """From now on nobody else sees what this thread and its programs mount.

    And it is gone with them: an agent that is killed leaves no mount behind.
    """
    if _libc.unshare(_CLONE_NEWNS) or _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None):
        raise ToolError(
            f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}",
            "run it as root",
        )


def free_memory() -> int:
    """Bytes that an overlay may take."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(int(rest.split()[0]) * 1024 * _SHARE)
    return 0


def _fuse() -> Any:
    # Debian's name for the library, and PyPI's.
    for name in ("fusepy", "fuse"):
        with suppress(ImportError):
            return import_module(name)
    raise ToolError(
        "Python's FUSE library is missing, which a file system is made smaller with",
        "install the package python3-fusepy",
    )


def _serve(fuse: Any, overlay: Overlay, folder: str) -> None:
    size = overlay.segment.size

    class Server(fuse.Operations):  # type: ignore[misc]  # it comes from a module without types
        """One file in one folder."""

        def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": 0o40700, "st_nlink": 2}
            if path != f"/{NAME}":
                raise fuse.FuseOSError(errno.ENOENT)
            return {"st_mode": 0o100600, "st_nlink": 1, "st_size": size}

        def open(self, path: str, flags: int) -> int:
            return 0

        def read(self, path: str, count: int, offset: int, handle: int) -> bytes:
            return overlay.read(offset, max(0, min(count, size - offset)))

        def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
            return overlay.write(offset, data)

        def truncate(self, path: str, length: int, handle: int | None = None) -> None:
            """A tool that made the file system smaller cuts the file; its size stays ours."""

        def fsync(self, path: str, data_only: int, handle: int) -> int:
            return 0

    fuse.FUSE(Server(), folder, foreground=True, nothreads=True, big_writes=True)
