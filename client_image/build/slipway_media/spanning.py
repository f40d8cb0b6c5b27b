# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunk goes on which disc of a set: arithmetic alone, so the same image spans the same way.

Chunks stay in the manifest's order, in which a restore reads them. Those that are wanted before the
first write or after the last one lie on every disc.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from slipway.format import CAPACITIES, STICK

from slipway_media.errors import MediaError

SECTOR = 2048
# What ISO 9660 with Rock Ridge takes for a file, in both trees of a medium that also is a stick.
FILE = 512
# The 256 folders of chunks: a sector of their own and their place in the path tables, in both.
FOLDERS = 256 * 2 * (SECTOR + 512)
# Discs may be a little shorter than they say, and drives do not like the last sectors.
RESERVE = 4 << 20
# With less left for chunks a set has more discs than anybody wants to insert.
LEAST = 16 << 20


@dataclass(frozen=True)
class Disc:
    """The chunks of one disc: those from `start` to before `end`, and those that all discs have."""

    start: int
    end: int
    repeated: tuple[int, ...]
    """Positions of chunks of other discs that this one has, too."""

    def positions(self) -> list[int]:
        """All its chunks; the repeated ones are read last, and lie behind the others."""
        return [*range(self.start, self.end), *self.repeated]


def capacity(medium: str) -> int:
    """Bytes that may be used on a medium: of a name, or a number of bytes."""
    if medium in CAPACITIES:
        return CAPACITIES[medium] - RESERVE
    if medium.isascii() and medium.isdecimal() and len(medium) < 16:
        return int(medium) - RESERVE
    raise MediaError(
        f"{medium!r} is no medium.",
        f"Use {', '.join(CAPACITIES)}, or its bytes; {STICK} for a stick of any size.",
    )


def cost(stored: int) -> int:
    """Bytes that a chunk's file takes at most."""
    return -(-stored // SECTOR) * SECTOR + FILE


def span(
    sizes: Sequence[int], repeated: Collection[int], first: int, further: int
) -> tuple[Disc, ...]:
    """Spread chunks of these sizes (bytes of their files) over discs.

    `repeated` are positions of chunks that every disc has; `first` and `further` are the bytes that
    the first disc and each further one have for chunks and their folders.
    """
    shared = sum(cost(sizes[each]) for each in repeated) + FOLDERS
    discs: list[Disc] = []
    start = position = 0
    while position < len(sizes) or not discs:
        room = (further if discs else first) - shared
        while position < len(sizes):
            needed = 0 if position in repeated else cost(sizes[position])
            if needed > room:
                break
            room -= needed
            position += 1
        if (position == start and position < len(sizes)) or room < 0:
            raise MediaError(
                "The medium is too small: it has no room for what each disc must have and one "
                "more part of the image.",
                "Use larger media.",
            )
        inside = range(start, position)
        others = tuple(sorted(each for each in repeated if each not in inside))
        discs.append(Disc(start, position, others))
        start = position
    return tuple(discs)
