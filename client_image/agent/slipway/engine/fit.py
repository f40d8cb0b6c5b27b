# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an image goes on a disk of another size, and where its partitions lie there.

Swap space at the end is made smaller by arithmetic: its size stands in its header. Any other
partition that would be cut becomes smaller with its file system (`shrink`), and what lies behind it
moves. All that does not fit is refused here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slipway.engine.cells import zeros
from slipway.engine.errors import TargetRefused
from slipway.engine.grow import check_growth, growable
from slipway.engine.partition_types import is_service
from slipway.engine.reshape import Reshaped, Shrinker, end_of, parts_of, pushed, squeezed
from slipway.engine.selection import LAST, Growing
from slipway.engine.shrink import comes_out_anew
from slipway.engine.table import MIB, is_container
from slipway.format import Disk, Extents, Segment, digest_of

_LEAST_SWAP = 1 * MIB
_MBR_LIMIT = (1 << 32) - 1


@dataclass(frozen=True)
class Growth:
    """A partition whose file system grows after the restore. Bytes on the disk."""

    segment: Segment
    end: int


@dataclass(frozen=True)
class Fit:
    """How an image's disk differs on its target from what it was."""

    starts: Mapping[int, int] = field(default_factory=dict)
    """New start of partitions that move, in bytes on the disk, by number."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """New end of partitions, in bytes on the disk, by number."""
    records: Mapping[int, int] = field(default_factory=dict)
    """New places of extended boot records, by the old ones, in bytes on the disk."""
    growths: tuple[Growth, ...] = ()
    swaps: Mapping[str, int] = field(default_factory=dict)
    """New size of swap spaces, by segment."""
    partial: frozenset[tuple[str, int]] = frozenset()
    """Cells, by segment and number, whose chunk isn't exactly what the target holds there."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def fit(
    image: Disk,
    size: int,
    cell_size: int,
    grow: Collection[Growing] = (),
    shrinker: Shrinker | None = None,
) -> tuple[Disk, Fit]:
    """The disk of the image as it goes on a target of `size` bytes.

    Without a `shrinker` nothing but swap space becomes smaller. Raises TargetRefused, with what
    would be needed.
    """
    original, layout, new = image, _Layout(image, size), Reshaped(image)
    ends: dict[int, int] = {}
    if size < image.size:
        if shrinker is not None and layout.is_cut():
            new = squeezed(image, layout.limit, shrinker, layout.slack())
            layout = _Layout(new.image, size, new.records)
        ends = layout.cut()
    elif size > image.size:
        for each in grow:
            moved = layout.pushed(each)
            if moved is not None:
                new = moved
                layout = _Layout(new.image, size, new.records)
        ends = {number: end for each in grow for number, end in layout.grown(each.part, new.ends)}
    image, ends = new.image, {**new.ends, **ends}
    if not (ends or size < image.size):
        return image, Fit(notes=tuple(_larger(image, size)))
    segments, partial, lost = [], set(), 0
    for segment in image.segments:
        kept = layout.kept(segment, ends)
        trimmed, cells = _trimmed(segment, kept, cell_size)
        segments.append(trimmed)
        partial |= {(segment.id, number) for number in cells}
        lost += _content_lost(segment, trimmed, cell_size)
    for gap in new.dropped:
        lost += _content_lost(gap, replace(gap, used=Extents.of([]), digests=b""), cell_size)
    changed = [
        part for part in layout.parts if end_of(part) != ends.get(part.partition or 0, end_of(part))
    ]
    growths = [Growth(part, ends[part.partition or 0]) for part in changed if not _swap(part)]
    for growth in growths:
        size_then = growth.end - growth.segment.offset
        check_growth(f"{image.id}:{growth.segment.id}", growth.segment, size_then)
    swaps = {part.id: ends[part.partition or 0] - part.offset for part in changed if _swap(part)}
    heads = {part.id for part in layout.parts if part.id in swaps or has_place(part, new.starts)}
    return replace(image, segments=tuple(segments)), Fit(
        starts=new.starts,
        ends=ends,
        records=new.records,
        growths=tuple(growths),
        swaps=swaps,
        partial=frozenset(partial | {(name, 0) for name in heads}),
        notes=tuple(_notes(original, layout.parts, ends, new.starts, lost)),
    )


def has_place(part: Segment, starts: Mapping[int, int]) -> bool:
    """Whether a partition that moves says in its boot sector where it begins."""
    return part.partition in starts and part.content in ("ntfs", "vfat")


class _Layout:
    """The places of an image's parts, measured against one target."""

    def __init__(self, image: Disk, size: int, records: Mapping[int, int] | None = None) -> None:
        self.image = image
        self.records = records or {}
        self.size = size
        self.sector = image.logical_sector
        self.parts = [each for each in image.segments if each.kind == "partition"]
        self.last = max(self.parts, key=end_of, default=None)
        tail = (each.size for each in image.segments if each.kind == "gpt-backup")
        self.tail = next(tail, 0)
        self.limit = size // self.sector * self.sector - self.tail
        """Where partitions have to end."""

    def slack(self) -> int:
        """Bytes that swap space at the end could give up."""
        return max(self.last.size - _LEAST_SWAP, 0) if self.last and _swap(self.last) else 0

    def is_cut(self) -> bool:
        """Whether more than swap space at the end would have to become smaller."""
        return self.last is not None and end_of(self.last) - self.slack() > self.limit

    def cut(self) -> dict[int, int]:
        """The new end of the last partition, if it is swap space and has to become smaller."""
        fixed = [each for each in self.image.segments if each.kind not in ("gap", "gpt-backup")]
        last = self.last
        shrinks = last is not None and _swap(last) and end_of(last) > self.limit
        needed = max(
            end_of(each) if each is not last or not shrinks else each.offset + _LEAST_SWAP
            for each in fixed
        )
        if needed > self.limit:
            raise TargetRefused(
                f"the disk is too small: it has {self.size} bytes, {self.image.id} of the image "
                f"needs {needed + self.tail} for what its partitions hold",
                f"use a disk of at least {needed + self.tail} bytes; or make the last partition "
                "and its file system smaller in the PC's own system, and save it again",
            )
        if last is None or not shrinks:
            return {}
        return {last.partition or 0: max(self.limit // MIB * MIB, last.offset + _LEAST_SWAP)}

    def _named(self, name: str) -> Segment:
        """The partition of that name; `last` is the last that people use."""
        used = [each for each in self.parts if not is_service(self.image.table, each.partition)]
        named = (each for each in self.parts if each.id == name)
        part = max(used, key=end_of, default=None) if name == LAST else next(named, None)
        if part is None or not part.partition:
            raise TargetRefused(
                f"{self.image.id} of the image has no partition that could grow",
                "restore it without --grow",
            )
        growable(f"{self.image.id}:{part.id}", part)
        return part

    def _reach(self) -> int:
        """Where the table lets partitions end."""
        dos = self.image.table.kind == "dos"
        return min(self.limit, _MBR_LIMIT * self.sector) if dos else self.limit

    def pushed(self, growing: Growing) -> Reshaped | None:
        """The disk with what lies behind a growing partition at its end, when that is asked for."""
        part = self._named(growing.part)
        return pushed(self.image, part, self._reach()) if growing.move else None

    def grown(self, name: str, known: Mapping[int, int]) -> list[tuple[int, int]]:
        """Number and new end of the partition that takes the free space behind it, if any."""
        part = self._named(name)
        number = part.partition or 0
        if number in known:
            return []
        blockers = [start for start in self._starts() if start >= end_of(part)]
        limit = min([self._reach(), *blockers])
        end = limit // MIB * MIB
        if end <= end_of(part) and not blockers:
            return []
        if end <= end_of(part):
            behind = [each for each in parts_of(self.image) if each.offset >= end_of(part)]
            what = f"{self.image.id}:{behind[0].id}" if behind else "an extended partition"
            name = f"{self.image.id}:{part.id}"
            raise TargetRefused(
                f"{name} of the image can't grow: no free space lies behind it, but {what}",
                f"let what lies behind it move, with --move {name}; name another partition, or "
                "restore without --grow",
            )
        return [(number, end)]

    def _starts(self) -> Iterable[int]:
        """Where something begins that nothing may grow into."""
        yield from (
            each.offset for each in self.image.segments if each.kind in ("partition", "ebr")
        )
        for line in self.image.table.partitions:
            if is_container(self.image.table, line):
                start = line.start * self.sector
                yield self.records.get(start, start)

    def kept(self, segment: Segment, ends: Mapping[int, int]) -> Extents:
        """What of a segment's used map is written on the target."""
        if segment.kind != "gap":
            return segment.used
        used = segment.used
        if self.size < self.image.size:
            used = used.clip(0, max(self.limit - segment.offset, 0))
        for part in self.parts:
            start, end = end_of(part), ends.get(part.partition or 0, 0)
            if start < end:
                low = max(start - segment.offset, 0)
                used = used.without(low, max(end - segment.offset, low))
        return used


def _swap(segment: Segment) -> bool:
    return segment.method == "swap"


def _trimmed(segment: Segment, kept: Extents, cell_size: int) -> tuple[Segment, set[int]]:
    """The segment with a smaller used map, and its cells of which only a part is left."""
    if kept == segment.used:
        return segment, set()
    digests, partial = bytearray(), set()
    for cell in segment.cells(cell_size):
        start = cell.number * cell_size
        left = kept.within(start, start + cell.size)
        if left:
            digests += bytes.fromhex(cell.digest)
        if left and left != segment.used.within(start, start + cell.size):
            partial.add(cell.number)
    return replace(segment, used=kept, digests=bytes(digests)), partial


def _content_lost(before: Segment, after: Segment, cell_size: int) -> int:
    """Bytes that are left out, zeros not counted."""
    if before is after:
        return 0
    lost = 0
    for cell in before.cells(cell_size):
        if cell.digest != digest_of(zeros(cell.size)):
            span = (cell.number * cell_size, cell.number * cell_size + cell.size)
            lost += sum(end - start for start, end in before.used.within(*span))
            lost -= sum(end - start for start, end in after.used.within(*span))
    return lost


def _larger(image: Disk, size: int) -> Iterable[str]:
    for part in image.segments:
        if size > image.size and part.partition == 0 and part.content.endswith("_raid_member"):
            yield (
                f"{image.id}: a RAID array whose super block lies at the disk's end (metadata "
                "0.90, 1.0 or of firmware) is not found on this larger disk"
            )


def _notes(
    image: Disk,
    parts: Iterable[Segment],
    ends: Mapping[int, int],
    starts: Mapping[int, int],
    lost: int,
) -> Iterable[str]:
    before = {part.id: part for part in parts_of(image)}
    for part in parts:
        number, name = part.partition or 0, f"{image.id}:{part.id}"
        if number in starts:
            yield f"{name}: moves to byte {starts[number]} of the disk"
        size = ends.get(number, end_of(part)) - part.offset
        if size < before[part.id].size:
            what = "swap space" if _swap(part) else "file system"
            anew = (
                "; each run may make it a little different, so that a comparison finds "
                "differences and another restore writes it again"
            )
            yield (
                f"{name}: the {what} is made smaller, {size} bytes instead of "
                f"{before[part.id].size}{anew if comes_out_anew(part) else ''}"
            )
    if lost:
        yield (f"{image.id}: {lost} bytes of unallocated space, which hold something, are left out")
