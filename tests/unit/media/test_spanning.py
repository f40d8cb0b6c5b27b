# SPDX-License-Identifier: GPL-3.0-or-later
"""Spreading chunks over discs: none too full, none missing, always the same."""

import random

import pytest
from slipway.format import CAPACITIES
from slipway_media.errors import MediaError
from slipway_media.spanning import FILE, FOLDERS, RESERVE, Disc, capacity, cost, span

MIB = 1 << 20


def held(disc: Disc, sizes: list[int]) -> int:
    return sum(cost(sizes[at]) for at in disc.positions()) + FOLDERS


def test_five_hundred_random_lists_and_capacities() -> None:
    chance = random.Random(20)
    refused = several = 0
    for _ in range(500):
        count = chance.choice([0, 2, *(chance.randrange(3, 400) for _ in range(4))])
        sizes = [chance.randrange(10, chance.choice([200, 4 * MIB])) for _ in range(count)]
        repeated = {at for at in range(count) if chance.random() < 0.05}
        first, further = (chance.randrange(1, chance.choice([8, 100, 400])) * MIB for _ in range(2))
        try:
            discs = span(sizes, repeated, first, further)
        except MediaError as error:
            refused += 1
            shared = sum(cost(sizes[at]) for at in repeated) + FOLDERS
            largest = max((cost(size) for size in sizes), default=0)
            assert min(first, further) < shared + largest
            assert "too small" in error.message
            continue
        several += len(discs) > 1
        assert discs == span(sizes, repeated, first, further)
        for number, disc in enumerate(discs):
            assert held(disc, sizes) <= (further if number else first)
            assert set(repeated) <= set(disc.positions())
            assert len(set(disc.positions())) == len(disc.positions())
        # In order, and each chunk on the one disc that the set says.
        assert [at for disc in discs for at in range(disc.start, disc.end)] == list(range(count))
    assert refused > 20 and several > 50


def test_what_fits_on_one_disc_is_one_disc() -> None:
    sizes = [2 * MIB] * 10
    room = 10 * cost(2 * MIB) + FOLDERS
    assert span(sizes, {0}, room, room) == (Disc(0, 10, ()),)
    assert span(sizes, {0}, room - 1, room) == (Disc(0, 9, ()), Disc(9, 10, (0,)))


def test_a_chunk_takes_whole_sectors_and_its_entry() -> None:
    assert [cost(size) for size in (1, 2048, 2049)] == [2048 + FILE, 2048 + FILE, 4096 + FILE]


@pytest.mark.parametrize("medium", [*CAPACITIES, "737280000"])
def test_capacities_keep_a_reserve(medium: str) -> None:
    assert capacity(medium) == CAPACITIES.get(medium, 737280000) - RESERVE


@pytest.mark.parametrize("medium", ["", "tape", "-1", "1.5", "1e9", "cd ", "\uff19", "9" * 16])
def test_what_is_no_medium_is_refused(medium: str) -> None:
    with pytest.raises(MediaError, match="is no medium"):
        capacity(medium)
