# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a partition's file system smaller before it is written, for a disk that is smaller.

All of it happens beside the image and before the first write: the file system is shown to its own
tool as a file that is fetched when it is read (`lazy`), and what comes out is a segment like any
other, most of whose cells are still the image's.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from slipway.engine.cells import digest_of_cell
from slipway.engine.content.base import Decision
from slipway.engine.content.registry import open_volume, used_map
from slipway.engine.errors import SlipwayError, TargetRefused, ToolError
from slipway.engine.lazy import free_memory, mounted
from slipway.engine.overlay import Overlay
from slipway.engine.progress import Meter
from slipway.engine.run import PACKAGES
from slipway.engine.shrink_tools import TOOLS, Tool
from slipway.engine.store import ChunkSource, Problem
from slipway.format import Cell, Disk, Extents, Manifest, Segment, make_frame

_LEVEL = 1


class ReshapedStore:
    """The chunks of an image, and those of its file systems that were made smaller."""

    def __init__(self, store: ChunkSource, manifest: Manifest, meter: Meter) -> None:
        """Nothing is added yet."""
        self._store = store
        self._cell_size = manifest.cell_size
        self._meter = meter
        self._added: dict[str, tuple[Overlay, Segment, Cell]] = {}
        # The same for the same version, so that the same bytes come out.
        self._stamp = int(datetime.fromisoformat(manifest.created).timestamp())
        self.threads = store.threads

    @property
    def discs(self) -> int:
        """On how many media the image's own chunks are."""
        return self._store.discs

    def disc(self, digest: str) -> int:
        """Which of them has a chunk; what was made here comes with the first."""
        return 1 if digest in self._added else self._store.disc(digest)

    def get(self, digest: str) -> bytes:
        """A chunk's frame."""
        if digest not in self._added:
            return self._store.get(digest)
        overlay, segment, cell = self._added[digest]
        return make_frame(_content(overlay, segment.used, cell, self._cell_size), _LEVEL)

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Problems of the image's own chunks."""
        return self._store.prove(manifest, meter)

    def shrinker(self, disk: Disk) -> DiskShrinker:
        """What makes partitions of this disk of the image smaller."""
        return DiskShrinker(self, disk)

    def overlay(self, segment: Segment) -> Overlay:
        """A partition's file system, to be changed."""
        return Overlay(segment, self._store, self._cell_size, self._meter)

    @contextmanager
    def at_work(
        self, disk: Disk, part: Segment, overlay: Overlay
    ) -> Generator[tuple[Path, int], None, None]:
        """Its file, and the time to write into it; the errors of tools with their real cause."""
        name = f"{disk.id}:{part.id}"
        # What others hold is no longer free.
        overlay.limit = overlay.held + free_memory()
        try:
            with self._meter.phase("plan", 0), mounted(overlay) as path:
                self._meter.at(disk.id, part.id)
                yield path, self._stamp
        except ToolError as error:
            raise _why(name, part, overlay, error) from error

    def take(self, overlay: Overlay, before: Segment, used: Extents, room: int) -> Segment:
        """The new segment; only cells that are not what they were are looked at."""
        after = replace(
            before,
            size=room,
            used=used,
            digests=b"",
            unreadable=before.unreadable.clip(0, room),
        )
        known = {cell.number: cell for cell in before.cells(self._cell_size)}
        digests, fresh = bytearray(), list[Cell]()
        for number in used.cells(self._cell_size):
            start = number * self._cell_size
            cell = Cell("", number, before.offset + start, min(self._cell_size, room - start))
            old, end = known.get(number), start + cell.size
            if (
                old is not None
                and old.size == cell.size
                and not overlay.touched(start, end)
                and before.used.within(start, end) == used.within(start, end)
            ):
                digests += bytes.fromhex(old.digest)
                continue
            digest = digest_of_cell(_content(overlay, used, cell, self._cell_size))
            digests += bytes.fromhex(digest)
            fresh.append(replace(cell, digest=digest))
        after = replace(after, digests=bytes(digests))
        self._added |= {cell.digest: (overlay, after, cell) for cell in fresh}
        return after


class DiskShrinker:
    """Makes partitions of one disk of an image smaller."""

    def __init__(self, store: ReshapedStore, disk: Disk) -> None:
        """Nothing is looked at yet."""
        self._store = store
        self._disk = disk
        self._overlays: dict[str, Overlay] = {}

    def least(self, segment: Segment, wish: int) -> int:
        """How small its file system can be, in bytes; no more is tried than `wish` takes."""
        tool = _tool_for(segment)
        overlay = self._overlays.setdefault(segment.id, self._store.overlay(segment))
        with self._store.at_work(self._disk, segment, overlay) as (path, stamp):
            least = tool.least(path, stamp)
            if least > wish and tool.squeeze is not None:
                least = wish if tool.squeeze(path, wish) else tool.least(path, stamp)
            return least

    def shrink(self, segment: Segment, room: int) -> Segment:
        """The segment with a file system of `room` bytes, or TargetRefused. Ask `least` before."""
        tool, name = _tool_for(segment), f"{self._disk.id}:{segment.id}"
        sector = self._disk.logical_sector
        overlay = self._overlays[segment.id]
        with self._store.at_work(self._disk, segment, overlay) as (path, stamp):
            tool.resize(path, room, stamp)
            used = _map(name, path, room, sector)
            if not segment.partition:
                # Without a table the first sector is a segment of its own.
                used = used.without(0, sector)
            return self._store.take(overlay, segment, used, room)


def why_not(segment: Segment) -> str:
    """Why a partition's file system can't be made smaller; empty when there is a program."""
    kind = segment.content or "unknown"
    if kind not in TOOLS:
        return "is of a kind that no program makes smaller"
    if segment.method != "used":
        return "was saved whole, so that nobody knows its state"
    if kind == "ntfs" and not segment.partition:
        return "has no partition table before it"
    return ""


def comes_out_anew(segment: Segment) -> bool:
    """Whether making it smaller once more gives other bytes."""
    return segment.content in TOOLS and not TOOLS[segment.content].repeats


def _tool_for(segment: Segment) -> Tool:
    """What makes its file system smaller; its programs are here."""
    tool = TOOLS[segment.content]
    for program in tool.programs:
        if shutil.which(program) is None:
            raise ToolError(
                f"the program {program} is missing, which makes {segment.content} smaller",
                f"install the package {PACKAGES.get(program, program)}",
            )
    return tool


def _why(name: str, segment: Segment, overlay: Overlay, error: ToolError) -> SlipwayError:
    """What really stopped a program that saw an I/O error or a full disk."""
    if overlay.problem is not None:
        return overlay.problem
    if overlay.full:
        return TargetRefused(
            f"{name} of the image can't be made smaller here: what changes in it takes more than "
            f"{overlay.limit} bytes of memory; nothing was written",
            "use a larger disk, or a PC with more memory",
        )
    if error.remedy != error.usual_remedy:
        # This machine lacks something.
        return error
    return TargetRefused(
        f"{name} of the image ({segment.content}) can't be made smaller: {error.message}; "
        "nothing was written",
        "use a larger disk, or make it smaller in the PC's own system and save it again",
    )


def _map(name: str, path: Path, size: int, sector: int) -> Extents:
    """The used map of what the tool left. It is not asked whether it may be saved by its map.

    ntfsresize marks a volume for Windows to check at its next start.
    """
    with open_volume(name, path, 0, size, sector) as volume:
        return used_map(volume, Decision("used"))


def _content(overlay: Overlay, used: Extents, cell: Cell, cell_size: int) -> memoryview:
    """A cell as chunks have it: free bytes are zero."""
    content = memoryview(bytearray(cell.size))
    start = cell.number * cell_size
    for begin, end in used.within(start, start + cell.size):
        content[begin - start : end - start] = overlay.look(begin, end - begin)
    return content
