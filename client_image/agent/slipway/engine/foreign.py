"""What another system left on a target where the image keeps nothing.

A partition is more than its used ranges: md, ZFS, bcache, LUKS and others are found by marks at a
volume's end, or deep in its head, and one that survives there makes something else of the partition
that was written over it. Free space that merely holds old data is nobody's and no difference.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.content.registry import taken_for
from slipway.engine.run import run
from slipway.engine.table import MIB
from slipway.format import Disk, Extents, Segment

# Not "disk": that is the content of a disk without a table.
DISK = "space"
# Wiping may bring a second mark to light, as ZFS and LUKS have several; never so many, though.
ROUNDS = 64
_HEAD, _TAIL = 8 << 20, 2 << 20


@dataclass(frozen=True)
class Area:
    """A volume on a target: a partition, or the disk itself. Bytes; all counts from `offset`."""

    id: str
    offset: int
    size: int
    kept: Extents
    """What the image holds of it."""
    edges: Extents
    """What is nobody's and where marks are usual."""
    segment: Segment | None = None


@dataclass(frozen=True)
class Mark:
    """A signature of something that the image does not hold. Bytes on the disk."""

    offset: int
    size: int
    kind: str


def areas(image: Disk, size: int, ends: Mapping[int, int], whole: bool) -> list[Area]:
    """The partitions of a target of `size` bytes, and with the `whole` disk the disk itself.

    `ends` has the new end of partitions, in bytes on the disk, by number.
    """
    found = []
    for segment in image.segments:
        if segment.kind == "partition":
            length = ends.get(segment.partition or 0, segment.offset + segment.size)
            length -= segment.offset
            kept = segment.used.clip(0, length)
            edges = _edges(kept.complement(length), 0, length)
            found.append(Area(segment.id, segment.offset, length, kept, edges, segment))
    if whole:
        found.append(_disk(image, size))
    return found


def _disk(image: Disk, size: int) -> Area:
    table = sum(each.size for each in image.segments if each.kind == "gpt-backup")
    others = [each for each in image.segments if each.kind != "gpt-backup"]
    kept = Extents.of([(size - table, size)] if table else [])
    for each in others:
        kept = kept.union(each.used.shift(each.offset))
    kept = kept.clip(0, size)
    behind = max((each.offset + each.size for each in others), default=0)
    return Area(DISK, 0, size, kept, _edges(kept.complement(size), behind, size - table))


def _edges(free: Extents, start: int, end: int) -> Extents:
    """What is free in the first and last MiB between two places."""
    if start >= end:
        return Extents.of([])
    first = free.clip(start, min(start + MIB, end))
    return first.union(free.clip(max(end - MIB, start), end))


def marks(path: Path, area: Area, sector: int) -> list[Mark]:
    """The signatures in an area that lie where the image keeps nothing."""
    if area.kept.total >= area.size:
        return []
    with _copy(path, area) as copy:
        answer = run(["wipefs", "--json", "--no-act", str(copy)]).stdout
    found = []
    for each in json.loads(answer)["signatures"] if answer.strip() else ():
        start = int(each["offset"], 0) // sector * sector
        end = min(start + sector, area.size)
        if not area.kept.touches(start, end):
            found.append(Mark(area.offset + start, end - start, str(each["type"])))
    return found


@contextmanager
def _copy(path: Path, area: Area) -> Generator[Path, None, None]:
    """A file of an area's size that has its head and its tail, and holes between.

    wipefs knows no offset, and a loop device over a disk that is being written sees what was there
    before. All signatures of util-linux 2.38 lie in the first 8 or the last 2 MiB (libblkid,
    superblocks).
    """
    head = min(_HEAD, area.size)
    tail = max(area.size - _TAIL, head)
    with tempfile.NamedTemporaryFile(prefix="slipway-") as copy, path.open("rb") as disk:
        copy.truncate(area.size)
        for start, end in ((0, head), (tail, area.size)):
            disk.seek(area.offset + start)
            copy.seek(start)
            copy.write(disk.read(end - start))
        copy.flush()
        yield Path(copy.name)


def mistaken(path: Path, area: Area) -> str:
    """What a partition would be taken for instead of what the image says, in blkid's words."""
    if area.segment is None or area.segment.method not in ("used", "swap"):
        return ""
    seen = taken_for(path, area.offset, area.size)
    return "" if seen == area.segment.content else seen
