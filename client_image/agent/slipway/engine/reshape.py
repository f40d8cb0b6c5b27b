# SPDX-License-Identifier: GPL-3.0-or-later
"""Where partitions go when one of them gets another size and what lies behind it moves.

Arithmetic alone: a partition that moves keeps its content, so its cells keep their chunks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from slipway.engine.errors import TargetRefused
from slipway.engine.shrink import why_not
from slipway.engine.table import MIB
from slipway.format import Disk, Segment

_HIDDEN = 28


@dataclass(frozen=True)
class Reshaped:
    """A disk of the image with other places for its partitions. Bytes on the disk, by number."""

    image: Disk
    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    records: Mapping[int, int] = field(default_factory=dict)
    """New places of extended boot records, by the old ones."""
    dropped: tuple[Segment, ...] = ()
    """Gaps behind the partition, for which there is no place any more."""


class Shrinker(Protocol):
    """Makes the partitions of one disk of an image smaller, together with their file systems."""

    def least(self, segment: Segment, wish: int) -> int:
        """How small it can be, in bytes; no more is tried than `wish` takes."""

    def shrink(self, segment: Segment, room: int) -> Segment:
        """The segment with `room` bytes, or TargetRefused."""


def end_of(segment: Segment) -> int:
    """Where it ends on the disk."""
    return segment.offset + segment.size


def parts_of(image: Disk) -> list[Segment]:
    """The partitions by their places."""
    found = [each for each in image.segments if each.kind == "partition"]
    return sorted(found, key=lambda each: each.offset)


def squeezed(image: Disk, limit: int, shrinker: Shrinker, slack: int) -> Reshaped:
    """The disk with all partitions in front of `limit`: what can becomes smaller.

    The largest gives up the space if it has it; else all that can give some in proportion to what
    they have, and only then up to `slack` bytes stay for the swap space at the end to give. Raises
    TargetRefused when that is not enough.
    """
    fixed = (each for each in image.segments if each.kind in ("partition", "ebr"))
    over = max(map(end_of, fixed)) - limit
    delta = -(-over // MIB) * MIB
    spare: dict[str, int] = {}
    for part in sorted(_shrinkable(image), key=lambda each: each.size, reverse=True):
        spare[part.id] = max(part.size - shrinker.least(part, part.size - delta), 0) // MIB * MIB
        if spare[part.id] >= delta:
            return _moved(image, _given(image, {part.id: delta}, shrinker))
    total = sum(spare.values())
    if total + slack < over:
        raise _too_small(image, limit, over - slack - total, spare)
    return _moved(image, _given(image, _shares(spare, min(delta, total)), shrinker))


def pushed(image: Disk, part: Segment, limit: int) -> Reshaped | None:
    """The disk with all that lies behind a partition moved to the end; None when it is there."""
    behind = _behind(image, part)
    last = max((end_of(each) for each in behind), default=limit)
    delta = (limit - last) // MIB * MIB
    if not behind or delta <= 0:
        return None
    return _moved(image, {part.id: replace(part, size=part.size + delta)}, keep=part)


def _behind(image: Disk, part: Segment) -> list[Segment]:
    return [each for each in parts_of(image) if each.offset > part.offset]


def _shrinkable(image: Disk) -> list[Segment]:
    return [each for each in parts_of(image) if not why_not(each)]


def _shares(spare: Mapping[str, int], delta: int) -> dict[str, int]:
    """What each gives, in whole MiB."""
    shares, left, total = dict[str, int](), delta, sum(spare.values())
    for name, each in spare.items():
        shares[name] = min(each, left, -(-delta * each // total // MIB) * MIB)
        left -= shares[name]
    for name, each in spare.items():
        more = min(each - shares[name], left)
        shares[name], left = shares[name] + more, left - more
    return {name: share for name, share in shares.items() if share}


def _given(image: Disk, shares: Mapping[str, int], shrinker: Shrinker) -> dict[str, Segment]:
    """The partitions with that much less."""
    return {
        part.id: shrinker.shrink(part, part.size - shares[part.id])
        for part in parts_of(image)
        if part.id in shares
    }


def _too_small(image: Disk, limit: int, lacking: int, spare: Mapping[str, int]) -> TargetRefused:
    size = limit + sum(each.size for each in image.segments if each.kind == "gpt-backup")
    reasons = [
        f"{image.id}:{part.id} ({part.content}) "
        + (why_not(part) or f"can be made as small as {part.size - spare[part.id]} bytes")
        for part in parts_of(image)
        if part.size >= MIB
    ]
    return TargetRefused(
        f"the disk is too small: it has {size} bytes, {image.id} of the image needs "
        f"{size + lacking} for what its partitions hold: {', '.join(reasons)}; nothing was written",
        f"use a disk of at least {size + lacking} bytes; or make a partition and its file system "
        "smaller in the PC's own system, and save it again",
    )


def _moved(image: Disk, changed: Mapping[str, Segment], keep: Segment | None = None) -> Reshaped:
    """The disk with partitions of another size; what lies behind each moves as far.

    `keep` is one whose file system stays as it is: only its partition gets the other size.
    """
    starts, ends, records = dict[int, int](), dict[int, int](), dict[int, int]()
    segments, dropped, delta = list[Segment](), list[Segment](), 0
    for segment in sorted(image.segments, key=lambda each: each.offset):
        number = segment.partition or 0
        if segment.kind != "partition":
            if delta and segment.kind == "gap":
                dropped.append(segment)
                continue
            # A record of a chain stays in front of what it describes.
            shift = delta if segment.kind == "ebr" else 0
            segments.append(replace(segment, offset=segment.offset + shift))
            if segment.kind == "ebr":
                records[segment.offset] = segment.offset + shift
            continue
        new = changed.get(segment.id, segment)
        moved = replace(keep if new is not segment and keep else new, offset=segment.offset + delta)
        segments.append(moved)
        if delta:
            starts[number] = moved.offset
        if delta or new is not segment:
            ends[number] = moved.offset + new.size
        delta += new.size - segment.size
    return Reshaped(replace(image, segments=tuple(segments)), starts, ends, records, tuple(dropped))


def at_place(head: bytes, old: int, new: int) -> bytes:
    """A boot sector that says where its partition begins, for the new place. In sectors.

    The BIOS parameter block of FAT and NTFS has it at byte 28, as "hidden sectors"; what stands
    there is left alone when it never was the partition's place. FAT32 has a copy of the sector.
    """
    result = bytearray(head)
    for start in (0, _copy_of(head)):
        field = slice(start + _HIDDEN, start + _HIDDEN + 4)
        if int.from_bytes(head[field], "little") == old and len(head) >= field.stop:
            result[field] = new.to_bytes(4, "little")
    return bytes(result)


def _copy_of(head: bytes) -> int:
    """Where FAT32 keeps the copy of its boot sector, in bytes; 0 when there is none."""
    if head[82:87] != b"FAT32":
        return 0
    return int.from_bytes(head[50:52], "little") * int.from_bytes(head[11:13], "little")
