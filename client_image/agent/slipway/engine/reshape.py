"""Where partitions go when one of them gets another size and what lies behind it moves.

Arithmetic alone: a partition that moves keeps its content, so its cells keep their chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slipway.engine.errors import TargetRefused
from slipway.engine.table import MIB, is_container
from slipway.format import Disk, Segment

_FIRST_LOGICAL = 5
_HIDDEN = 28


@dataclass(frozen=True)
class Reshaped:
    """A disk of the image with other places for its partitions. Bytes on the disk, by number."""

    image: Disk
    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    dropped: tuple[Segment, ...] = ()
    """Gaps behind the partition, for which there is no place any more."""


def end_of(segment: Segment) -> int:
    """Where it ends on the disk."""
    return segment.offset + segment.size


def parts_of(image: Disk) -> list[Segment]:
    """The partitions by their places."""
    found = [each for each in image.segments if each.kind == "partition"]
    return sorted(found, key=lambda each: each.offset)


def squeezed(
    image: Disk,
    limit: int,
    can: Callable[[Segment], bool],
    shrink: Callable[[Segment, int], Segment],
) -> Reshaped:
    """The disk with all partitions in front of `limit`: the largest that `can` becomes smaller.

    `shrink` makes a segment of so many bytes of it, or raises TargetRefused.
    """
    parts = parts_of(image)
    over = max(end_of(each) for each in parts) - limit
    delta = -(-over // MIB) * MIB
    fitting = [each for each in parts if can(each) and each.size > delta]
    part = max(fitting or parts, key=lambda each: each.size)
    end = (end_of(part) - delta) // MIB * MIB
    behind = [each for each in parts if each.offset > part.offset]
    _check_moves(image, part, behind)
    room = max(end - part.offset, 0)
    return _moved(image, shrink(part, room), behind, -delta, {part.partition or 0: end})


def pushed(image: Disk, part: Segment, limit: int) -> Reshaped | None:
    """The disk with all that lies behind a partition moved to the end; None when it is there."""
    behind = [each for each in parts_of(image) if each.offset > part.offset]
    last = max((end_of(each) for each in behind), default=limit)
    delta = (limit - last) // MIB * MIB
    if not behind or delta <= 0:
        return None
    _check_moves(image, part, behind)
    first = min(each.offset for each in behind) + delta
    return _moved(image, part, behind, delta, {part.partition or 0: first // MIB * MIB})


def _check_moves(image: Disk, part: Segment, behind: Collection[Segment]) -> None:
    chained = [
        each
        for each in behind
        if image.table.kind == "dos" and (each.partition or 0) >= _FIRST_LOGICAL
    ]
    chained += [
        each
        for line in image.table.partitions
        if is_container(image.table, line) and line.start * image.logical_sector > part.offset
        for each in behind
    ]
    if chained:
        raise TargetRefused(
            f"{image.id}:{chained[0].id} of the image would have to move, and it is a logical "
            "partition or stands beside some; nothing was written",
            "use a disk of at least the image's size, without moving partitions",
        )


def _moved(
    image: Disk, part: Segment, behind: Collection[Segment], delta: int, ends: dict[int, int]
) -> Reshaped:
    moving = {each.id for each in behind}
    starts, segments, dropped = dict[int, int](), list[Segment](), list[Segment]()
    for segment in image.segments:
        if segment.id == part.id:
            segments.append(part)
        elif segment.id in moving:
            moved = replace(segment, offset=segment.offset + delta)
            segments.append(moved)
            starts[segment.partition or 0] = moved.offset
            ends[segment.partition or 0] = end_of(moved)
        elif segment.kind == "gap" and segment.offset > part.offset:
            dropped.append(segment)
        else:
            segments.append(segment)
    return Reshaped(
        replace(image, segments=tuple(_ordered(segments))), starts, ends, tuple(dropped)
    )


def at_place(head: bytes, old: int, new: int) -> bytes:
    """A boot sector that says where its partition begins, for the new place. In sectors.

    The BIOS parameter block of FAT and NTFS has it at byte 28, as "hidden sectors"; what stands
    there is left alone when it never was the partition's place.
    """
    if len(head) < _HIDDEN + 4 or int.from_bytes(head[_HIDDEN : _HIDDEN + 4], "little") != old:
        return head
    return head[:_HIDDEN] + new.to_bytes(4, "little") + head[_HIDDEN + 4 :]


def _ordered(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda each: each.offset)
