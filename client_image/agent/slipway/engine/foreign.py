# SPDX-License-Identifier: GPL-3.0-or-later
"""What another system left on a target where the image keeps nothing.

A partition is more than its used ranges: md, ZFS, bcache, LUKS and others are found by marks at a
volume's end, or deep in its head, and one that survives there makes something else of the partition
that was written over it. Free space that merely holds old data is nobody's and no difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.content.registry import identify, kind_of
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import DeviceError
from slipway.engine.loop import read_only_loop
from slipway.engine.run import run
from slipway.engine.table import MIB
from slipway.engine.target import Target
from slipway.format import Disk, Extents, Segment

# Not "disk": that is the content of a disk without a table.
DISK = "space"
# Wiping may bring a second mark to light, as ZFS and LUKS have several; never so many, though.
_ROUNDS = 64


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
            if segment.partition == 0:
                # Without a table its first sector is a segment of its own.
                kept = kept.union([(0, image.logical_sector)])
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


class Foreign:
    """What other systems left on one target beside the image: named, cleared, looked at again."""

    def __init__(self, target: Target) -> None:
        """Nothing is looked at yet."""
        self._target = target
        self._seen: dict[str, tuple[int, tuple[list[Mark], str]]] = {}
        self.kinds: dict[str, list[str]] = {}
        """What was found, by the id of its area."""

    def name(self, found: Sequence[Area]) -> None:
        """Look for it in these areas."""
        for area in found:
            left, other = self._look(area)
            if kinds := {mark.kind for mark in left} | ({other} - {""}):
                self.kinds[area.id] = sorted(kinds.union(self.kinds.get(area.id, ())))

    def clear(self, found: Sequence[Area]) -> int:
        """Leave no mark in these areas; return how many bytes that took."""
        return sum(self._clear(area) for area in found)

    def check(self, found: Sequence[Area]) -> None:
        """Raise unless each partition among these areas is taken for what the image says."""
        path = self._target.disk.path
        for area in found:
            _, other = self._look(area)
            if other:
                raise DeviceError(
                    f"partition {area.id} of {path} would be taken for {other}",
                    f"clear the disk with: wipefs --all {path}",
                )

    def _look(self, area: Area) -> tuple[list[Mark], str]:
        """The marks in an area, and what it would be taken for instead of what the image says."""
        if area.kept.total >= area.size:
            return [], ""
        changes, found = self._seen.get(area.id, (-1, ([], "")))
        if changes != self._target.changes:
            self._target.flush()
            found = _look(self._target.disk, area)
            self._seen[area.id] = (self._target.changes, found)
        return found

    def _clear(self, area: Area) -> int:
        written, path = 0, self._target.disk.path
        for start, end in area.edges:
            if any(self._target.read(area.offset + start, end - start)):
                self._target.write(area.offset + start, bytes(end - start))
                written += end - start
        for _ in range(_ROUNDS):
            left, _ = self._look(area)
            if not left:
                return written
            for mark in left:
                self._target.write(mark.offset, bytes(mark.size))
                written += mark.size
        raise DeviceError(
            f"{path} keeps marks of {', '.join(mark.kind for mark in left)}",
            f"clear it with: wipefs --all {path}",
        )


def _look(disk: BlockDisk, area: Area) -> tuple[list[Mark], str]:
    """Through a device as large as the area, since some marks name places far from themselves.

    A new one each time: it has nothing in its cache of what was there before.
    """
    with read_only_loop(disk.path, area.offset, area.size, disk.logical_sector) as device:
        answer = run(["wipefs", "--json", "--no-act", str(device)]).stdout
        signatures = json.loads(answer)["signatures"] if answer.strip() else []
        kinds = {str(each["type"]) for each in signatures}
        return _marks(signatures, area, disk.logical_sector), _mistaken(device, area, kinds)


def _marks(signatures: Sequence[Mapping[str, str]], area: Area, sector: int) -> list[Mark]:
    """The signatures in an area that lie where the image keeps nothing."""
    found = []
    for each in signatures:
        start = int(each["offset"], 0) // sector * sector
        end = min(start + sector, area.size)
        if not area.kept.touches(start, end):
            found.append(Mark(area.offset + start, end - start, str(each["type"])))
    return found


def _mistaken(device: Path, area: Area, kinds: set[str]) -> str:
    """What blkid takes a partition for instead of what the image says; empty when it agrees.

    It has no choice where there are signatures of one kind alone.
    """
    if area.segment is None or area.segment.method not in ("used", "swap"):
        return ""
    if kinds == {area.segment.content}:
        return ""
    seen = kind_of(identify(device))
    return "" if seen == area.segment.content else seen
