# SPDX-License-Identifier: GPL-3.0-or-later
"""Extents against the plainest model there is: a set of numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.format import Extents, FormatError

RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12)
BOUNDS = st.tuples(st.integers(0, 220), st.integers(0, 220)).map(sorted)


def model(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for start, end in ranges for number in range(start, end)}


@given(RANGES)
def test_of_merges_and_keeps_every_byte(ranges: list[tuple[int, int]]) -> None:
    extents = Extents.of(ranges)
    listed = list(extents)
    assert model(listed) == model(ranges)
    assert extents.total == len(model(ranges))
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(listed))


@given(RANGES, BOUNDS)
def test_parts(ranges: list[tuple[int, int]], bounds: list[int]) -> None:
    extents, (start, end) = Extents.of(ranges), bounds
    inside = model(ranges) & set(range(start, end))
    assert model(extents.within(start, end)) == inside
    assert model(list(extents.clip(start, end))) == inside
    assert extents.touches(start, end) == bool(inside)
    assert model(list(extents.without(start, end))) == model(ranges) - inside
    assert model(list(extents.complement(220))) == set(range(220)) - model(ranges)


@given(RANGES, st.integers(1, 50))
def test_cells(ranges: list[tuple[int, int]], size: int) -> None:
    extents = Extents.of(ranges)
    expected = sorted({number // size for number in model(ranges)})
    assert list(extents.cells(size)) == expected
    assert extents.count_cells(size) == len(expected)


@given(RANGES, st.integers(1, 64))
def test_aligned_grows_to_whole_units(ranges: list[tuple[int, int]], unit: int) -> None:
    aligned = Extents.of(ranges).aligned(unit)
    assert model(list(aligned)) == {
        number
        for each in model(ranges)
        for number in range(each // unit * unit, -(-(each + 1) // unit) * unit)
    }


@given(RANGES, st.sampled_from([1, 512, 4096]))
def test_text_comes_back(ranges: list[tuple[int, int]], unit: int) -> None:
    extents = Extents.of((start * unit, end * unit) for start, end in ranges)
    assert extents.unit(unit) % unit == 0
    for each in (unit, extents.unit(unit)):
        assert Extents.from_text(extents.to_text(each), each) == extents


@given(st.text(alphabet="0123456789+ -_x\u0663", max_size=20))
def test_other_text_is_refused_or_canonical(text: str) -> None:
    try:
        extents = Extents.from_text(text, 1)
    except FormatError:
        return
    assert Extents.of(list(extents)) == extents


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1+",
        "+1",
        "1+0",
        "0+1 0+1",
        "1+1  1+1",
        "1+1+1",
        "1_0+1",
        "-1+1",
        " 1+1",
        "9" * 30 + "+1",
    ],
)
def test_refused_text(text: str) -> None:
    with pytest.raises(FormatError):
        Extents.from_text(text, 512)
