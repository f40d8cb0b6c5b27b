"""Space that belongs to no partition: of a long stretch an image keeps the ends alone.

What lies between them is nobody's, as a rule: the rest of a disk that was partitioned anew. It is
looked at all the same, since a table that lost an entry, or is read in other units than it was
written in, leaves whole file systems there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from slipway.engine.cells import ReadError, read_at
from slipway.engine.table import Stretch

_STEP = 4 << 20
# A bytearray: two memoryviews are compared byte by byte in Python's terms.
_ZEROS = bytearray(_STEP)
# A longer one is looked at in samples: reading terabytes of nothing would take the night.
_ALL_OF = 16 << 30
_SAMPLE_EVERY = 16 * _STEP


@dataclass(frozen=True)
class Found:
    """What of long gaps is not zero and not kept. Bytes; places on the disk."""

    count: int
    start: int
    end: int
    sampled: bool = False


def unkept(stretches: Iterable[Stretch]) -> list[tuple[int, int]]:
    """The byte ranges of a disk that an image of these stretches leaves out."""
    return [
        (gap.offset + start, gap.offset + end)
        for gap in stretches
        if gap.kind == "gap" and gap.used is not None
        for start, end in gap.used.complement(gap.size)
    ]


def look(
    handle: int,
    ranges: Iterable[tuple[int, int]],
    seen: Callable[[int], None] = lambda _: None,
) -> Found | None:
    """Read byte ranges of a disk; None when all is zero. `seen` is told how far it got.

    What can't be read is nobody's like the rest, and passed over.
    """
    found: Found | None = None
    buffer = memoryview(bytearray(_STEP))
    regular = stat.S_ISREG(os.fstat(handle).st_mode)
    for start, end in ranges:
        sampled = end - start > _ALL_OF
        position = start
        while position < end:
            view = buffer[: min(_STEP, end - position)]
            if count := _not_zero(handle, view, position):
                before = found or Found(0, position, position)
                found = Found(
                    before.count + count,
                    before.start,
                    position + len(view),
                    before.sampled or sampled,
                )
            step = _SAMPLE_EVERY if sampled else len(view)
            if regular:
                step = max(step, _data_after(handle, position + step, end) - position)
            seen(min(step, end - position))
            position += step
    return found


def _data_after(handle: int, position: int, end: int) -> int:
    """Where a file goes on behind a hole."""
    with suppress(OSError):
        return min(os.lseek(handle, position, os.SEEK_DATA), end)
    return end


def _not_zero(handle: int, view: memoryview, position: int) -> int:
    try:
        read_at(handle, view, position)
    except ReadError:
        return 0
    if (_ZEROS if len(view) == _STEP else bytearray(len(view))) == view:
        return 0
    return len(view) - bytes(view).count(0)
