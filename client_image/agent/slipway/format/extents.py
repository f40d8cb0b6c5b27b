# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of byte ranges, and their compact text.

An `Extents` is immutable, sorted, without empty, touching or overlapping ranges. Starts and ends
live in two arrays of 64-bit integers: a badly fragmented disk has millions of ranges.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain

from slipway.format.errors import FormatError

MAX_RANGES = 16_000_000
MAX_OFFSET = (1 << 62) - 1
_TEXT = frozenset("0123456789+ ")


class Extents:
    """An immutable set of byte ranges `[start, end)`."""

    __slots__ = ("ends", "starts")

    def __init__(self, starts: array[int], ends: array[int]) -> None:
        """Adopt arrays that are already sorted and merged; others come in by `of`."""
        self.starts = starts
        self.ends = ends

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Extents:
        """Sort, merge and drop empty ones among `(start, end)` pairs.

        Ranges that come in order are never held as a list: millions of pairs take 100 bytes each.
        """
        starts, ends = array("q"), array("q")
        stream = iter(ranges)
        for start, end in stream:
            if starts and start < starts[-1]:
                return cls.of(sorted([*zip(starts, ends, strict=True), (start, end), *stream]))
            if end <= start:
                continue
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return cls(starts, ends)

    @classmethod
    def whole(cls, size: int) -> Extents:
        """The one range `[0, size)`."""
        return cls.of([(0, size)])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges as `(start, end)`, ascending."""
        return zip(self.starts, self.ends, strict=True)

    def __len__(self) -> int:
        """Number of ranges."""
        return len(self.starts)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same bytes."""
        if not isinstance(other, Extents):
            return NotImplemented
        return self.starts == other.starts and self.ends == other.ends

    def __hash__(self) -> int:
        """Equal sets have equal hashes."""
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    def __repr__(self) -> str:
        """The first few ranges, for messages of failing tests."""
        head = ", ".join(f"{start}..{end}" for start, end in list(self)[:4])
        return f"Extents({len(self)}: {head}{', ...' if len(self) > 4 else ''})"

    @property
    def total(self) -> int:
        """Number of bytes in the set."""
        return sum(self.ends) - sum(self.starts)

    @property
    def end(self) -> int:
        """Offset behind the last byte of the set; 0 for the empty set."""
        return self.ends[-1] if self.ends else 0

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of the set that lie in `[start, end)`, as offsets of the whole."""
        return list(self._cut(start, end))

    def _cut(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        first = bisect_right(self.ends, start)
        last = bisect_left(self.starts, end)
        for i in range(first, last):
            yield max(self.starts[i], start), min(self.ends[i], end)

    def touches(self, start: int, end: int) -> bool:
        """Whether a byte of the set lies in `[start, end)`."""
        first = bisect_right(self.ends, start)
        return start < end and first < len(self.starts) and self.starts[first] < end

    def clip(self, start: int, end: int) -> Extents:
        """The parts in `[start, end)` as a set of its own, at the same offsets."""
        return Extents.of(self._cut(start, end))

    def shift(self, by: int) -> Extents:
        """The same ranges, `by` bytes further on."""
        return Extents.of((start + by, end + by) for start, end in self)

    def union(self, other: Iterable[tuple[int, int]]) -> Extents:
        """Bytes that lie in either."""
        return Extents.of([*self, *other])

    def complement(self, size: int) -> Extents:
        """Bytes of `[0, size)` that are not in the set."""
        starts, ends = array("q", [0]), array("q")
        starts.extend(self.ends)
        ends.extend(self.starts)
        ends.append(size)
        gaps = zip(starts, ends, strict=True)
        return Extents.of((start, min(end, size)) for start, end in gaps)

    def without(self, start: int, end: int) -> Extents:
        """The set minus `[start, end)`."""
        return Extents.of(chain(self._cut(0, start), self._cut(end, MAX_OFFSET)))

    def aligned(self, unit: int) -> Extents:
        """Every range grown outwards to multiples of `unit`."""
        return Extents.of((start // unit * unit, -(-end // unit) * unit) for start, end in self)

    def cells(self, size: int) -> Iterator[int]:
        """Numbers of the cells of `size` bytes that hold a byte of the set, ascending."""
        next_cell = 0
        for start, end in self:
            first = max(start // size, next_cell)
            next_cell = -(-end // size)
            yield from range(first, next_cell)

    def count_cells(self, size: int) -> int:
        """How many numbers `cells` yields, without walking through them."""
        count = next_cell = 0
        for start, end in self:
            first = max(start // size, next_cell)
            next_cell = -(-end // size)
            count += next_cell - first
        return count

    def unit(self, smallest: int, largest: int = 1 << 20) -> int:
        """The largest power of two that divides every boundary, between the two bounds."""
        combined = largest
        for boundary in chain(self.starts, self.ends):
            combined |= boundary
        return max(combined & -combined, smallest)

    def to_text(self, unit: int) -> str:
        """`GAP+LENGTH GAP+LENGTH ...` in units: see FORMAT.md."""
        position, text = 0, bytearray()
        for start, end in self:
            text += b"%d+%d " % ((start - position) // unit, (end - start) // unit)
            position = end
        return text[:-1].decode("ascii")

    @classmethod
    def from_text(cls, text: str, unit: int) -> Extents:
        """Read what `to_text` wrote; anything that it would not write is a FormatError."""
        if not text:
            return cls(array("q"), array("q"))
        count = text.count("+")
        if count > MAX_RANGES or len(text) > count * 40 or not _TEXT.issuperset(text):
            raise FormatError("a used map holds other characters than digits, '+' and ' '")
        starts, ends, position = array("q"), array("q"), 0
        try:
            for part in _parts(text):
                gap, length = map(int, part.split("+"))
                start = position + gap * unit
                position = start + length * unit
                if not length or (not gap and starts) or position > MAX_OFFSET:
                    raise FormatError(f"a used map's range {part!r} is empty, touching or too far")
                starts.append(start)
                ends.append(position)
        except FormatError:
            raise
        except ValueError as error:
            raise FormatError("a used map is not a list of GAP+LENGTH") from error
        return cls(starts, ends)


def _parts(text: str) -> Iterator[str]:
    """`text.split(" ")` without the list."""
    start = 0
    while (end := text.find(" ", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]
