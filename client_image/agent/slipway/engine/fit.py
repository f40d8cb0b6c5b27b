"""What of an image goes on a disk of another size, and where its partitions end there.

No file system is moved and no partition is cut, but for swap space at the end: its size stands in
its header, which is edited. All that does not fit is refused here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slipway.engine.cells import zeros
from slipway.engine.errors import TargetRefused
from slipway.engine.grow import growable
from slipway.engine.selection import LAST
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

    ends: Mapping[int, int] = field(default_factory=dict)
    """New end of partitions, in bytes on the disk, by number."""
    growths: tuple[Growth, ...] = ()
    swaps: Mapping[str, int] = field(default_factory=dict)
    """New size of swap spaces, by segment."""
    partial: frozenset[tuple[str, int]] = frozenset()
    """Cells, by segment and number, whose chunk isn't exactly what the target holds there."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def fit(image: Disk, size: int, cell_size: int, grow: Collection[str] = ()) -> tuple[Disk, Fit]:
    """The disk of the image as it goes on a target of `size` bytes.

    `grow` has numbers of partitions, or `last`. Raises TargetRefused, with what would be needed.
    """
    layout = _Layout(image, size)
    ends: dict[int, int] = {}
    if size < image.size:
        ends = layout.cut()
    elif size > image.size:
        ends = {number: end for name in grow for number, end in layout.grown(name)}
    if size == image.size or not (ends or size < image.size):
        return image, Fit(notes=tuple(_larger(image, size)))
    segments, partial, lost = [], set(), 0
    for segment in image.segments:
        kept = layout.kept(segment, ends)
        trimmed, cells = _trimmed(segment, kept, cell_size)
        segments.append(trimmed)
        partial |= {(segment.id, number) for number in cells}
        lost += _content_lost(segment, trimmed, cell_size)
    changed = [part for part in layout.parts if part.partition in ends]
    swaps = {part.id: ends[part.partition or 0] - part.offset for part in changed if _swap(part)}
    return replace(image, segments=tuple(segments)), Fit(
        ends=ends,
        growths=tuple(
            Growth(part, ends[part.partition or 0]) for part in changed if not _swap(part)
        ),
        swaps=swaps,
        partial=frozenset(partial | {(name, 0) for name in swaps}),
        notes=tuple(_notes(image, changed, ends, lost)),
    )


class _Layout:
    """The places of an image's parts, measured against one target."""

    def __init__(self, image: Disk, size: int) -> None:
        self.image = image
        self.size = size
        self.sector = image.logical_sector
        self.parts = [each for each in image.segments if each.kind == "partition"]
        self.last = max(self.parts, key=_end, default=None)
        tail = (each.size for each in image.segments if each.kind == "gpt-backup")
        self.tail = next(tail, 0)
        self.limit = size // self.sector * self.sector - self.tail
        """Where partitions have to end."""

    def cut(self) -> dict[int, int]:
        """The new end of the last partition, if it is swap space and has to become smaller."""
        fixed = [each for each in self.image.segments if each.kind not in ("gap", "gpt-backup")]
        last = self.last
        shrinks = last is not None and _swap(last) and _end(last) > self.limit
        needed = max(
            _end(each) if each is not last or not shrinks else each.offset + _LEAST_SWAP
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

    def grown(self, name: str) -> list[tuple[int, int]]:
        """Number and new end of the partition that takes the free space behind it, if any."""
        named = (each for each in self.parts if each.id == name)
        part = self.last if name == LAST else next(named, None)
        if part is None or not part.partition:
            raise TargetRefused(
                f"{self.image.id} of the image has no partition that could grow",
                "restore it without --grow",
            )
        growable(f"{self.image.id}:{part.id}", part)
        blockers = [start for start in self._starts() if start >= _end(part)]
        limit = min([self.limit, *blockers])
        if self.image.table.kind == "dos":
            limit = min(limit, _MBR_LIMIT * self.sector)
        end = limit // MIB * MIB
        if end <= _end(part) and not blockers:
            return []
        if end <= _end(part):
            raise TargetRefused(
                f"{self.image.id}:{part.id} of the image can't grow: no free space lies behind it",
                "name another partition with --grow, or restore without it",
            )
        return [(part.partition, end)]

    def _starts(self) -> Iterable[int]:
        """Where something begins that nothing may grow into."""
        yield from (
            each.offset for each in self.image.segments if each.kind in ("partition", "ebr")
        )
        for line in self.image.table.partitions:
            if is_container(self.image.table, line):
                yield line.start * self.sector

    def kept(self, segment: Segment, ends: Mapping[int, int]) -> Extents:
        """What of a segment's used map is written on the target."""
        if segment.kind != "gap":
            return segment.used
        used = segment.used
        if self.size < self.image.size:
            used = used.clip(0, max(self.limit - segment.offset, 0))
        for part in self.parts:
            start, end = _end(part), ends.get(part.partition or 0, 0)
            if start < end:
                low = max(start - segment.offset, 0)
                used = used.without(low, max(end - segment.offset, low))
        return used


def _end(segment: Segment) -> int:
    return segment.offset + segment.size


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
    image: Disk, changed: Iterable[Segment], ends: Mapping[int, int], lost: int
) -> Iterable[str]:
    for part in changed:
        size = ends[part.partition or 0] - part.offset
        if size < part.size:
            yield (
                f"{image.id}:{part.id}: the swap space is made smaller, "
                f"{size} bytes instead of {part.size}"
            )
    if lost:
        yield (
            f"{image.id}: {lost} bytes of unallocated space behind the last partition, "
            "which hold something, are left out"
        )
