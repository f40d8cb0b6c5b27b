"""Space that belongs to no partition: of a long stretch an image keeps the ends alone.

What lies between them is nobody's, as a rule: the rest of a disk that was partitioned anew. It is
looked at all the same, since a table that lost an entry, or is read in other units than it was
written in, leaves whole file systems there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from slipway.engine.cells import ReadError, read_at
from slipway.engine.mapping import DiskMap
from slipway.engine.other_units import hint, other_units
from slipway.engine.progress import Meter

_STEP = 4 << 20
# A bytearray: two memoryviews are compared byte by byte in Python's terms.
_ZEROS = bytearray(_STEP)
# More than that is looked at in samples: reading terabytes of nothing would take the night. Where
# partitions begin is at the front of a gap.
_ALL_OF, _FRONT, _SAMPLES = 16 << 30, 1 << 30, 2048
# An ill disk takes seconds for each; what is nobody's is not worth more of its life.
_MAX_FAILURES = 8


@dataclass(frozen=True)
class Found:
    """What of a gap is not zero and not kept. Bytes; places on the disk."""

    count: int
    start: int
    end: int
    sampled: bool = False

    def __str__(self) -> str:
        """Place and amount, for people."""
        least = "at least " if self.sampled else ""
        return f"{least}{self.count} bytes from byte {self.start} to byte {self.end}"


def surveyed(disk_map: DiskMap, handle: int, meter: Meter) -> DiskMap:
    """The map, with a warning when an image would leave out what is not zero."""
    ranges = _unkept(disk_map)
    total = sum(end - start for start, end in ranges)
    if not total:
        return disk_map
    with meter.phase("gaps", total):
        meter.at(disk_map.id, "")
        step = _STEP
        if total > _ALL_OF:
            step = max(16 * _STEP, total // _SAMPLES // _STEP * _STEP)
        looks = [look(handle, each, step, lambda count: meter.add(done=count)) for each in ranges]
    warnings = _warnings(disk_map, handle, looks)
    return replace(disk_map, warnings=tuple(dict.fromkeys((*disk_map.warnings, *warnings))))


def _unkept(disk_map: DiskMap) -> list[tuple[int, int]]:
    """The byte ranges between partitions that an image of the disk leaves out."""
    gaps = [part for part in disk_map.parts if part.stretch.kind == "gap"]
    return [
        (gap.stretch.offset + start, gap.stretch.offset + end)
        for gap in gaps
        for start, end in gap.used.complement(gap.stretch.size)
    ]


def _warnings(disk_map: DiskMap, handle: int, looks: Sequence[Found | None]) -> list[str]:
    found = [each for each in looks if each is not None]
    disk, warnings = f"{disk_map.id} ({disk_map.disk.path})", []
    if found:
        warnings.append(
            f"{disk}: what lies in no partition is not zero and is not saved: "
            f"{'; '.join(map(str, found))}; if it is of use, save it, too, with --keep-gaps"
        )
    if units := other_units(disk_map.disk, handle, disk_map.table):
        warnings.append(f"{disk}: {hint(units, disk_map.disk, disk_map.id)}")
    return warnings


def look(
    handle: int,
    span: tuple[int, int],
    step: int = _STEP,
    seen: Callable[[int], None] = lambda _: None,
) -> Found | None:
    """Read a stretch of a disk; None when all is zero. `seen` is told how far it got.

    With a `step` longer than what is read at once, in samples. What can't be read is passed over.
    """
    found: Found | None = None
    buffer = memoryview(bytearray(_STEP))
    regular = stat.S_ISREG(os.fstat(handle).st_mode)
    (position, end), failures = span, 0
    front = position + _FRONT
    while position < end and failures < _MAX_FAILURES:
        view = buffer[: min(_STEP, end - position)]
        try:
            count = _not_zero(handle, view, position)
        except ReadError:
            count, failures = 0, failures + 1
        if count:
            before = found or Found(0, position, position, step > _STEP)
            found = replace(before, count=before.count + count, end=position + len(view))
        following = position + (len(view) if position < front else step)
        if regular:
            following = _data_from(handle, following, end)
        seen(min(following, end) - position)
        position = following
    return found


def _data_from(handle: int, position: int, end: int) -> int:
    """Where a file goes on behind a hole."""
    if position >= end:
        return end
    with suppress(OSError):
        return min(os.lseek(handle, position, os.SEEK_DATA), end)
    return end


def _not_zero(handle: int, view: memoryview, position: int) -> int:
    read_at(handle, view, position)
    if (_ZEROS if len(view) == _STEP else bytearray(len(view))) == view:
        return 0
    return len(view) - bytes(view).count(0)
