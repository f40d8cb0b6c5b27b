# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts: every part lies on its field, whatever the amounts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from slipway_web import charts

OUTCOMES = (
    "done",
    "degraded",
    "failed",
    "was_on",
    "no_answer",
    "busy",
    "postponed",
    "not_reached",
    "cancelled",
    "paused",
    "at_work",
    "waits",
    "of-tomorrow",
)
COUNTS = st.dictionaries(st.sampled_from(OUTCOMES), st.integers(1, 5000), max_size=8)
WINDOWS = st.lists(
    st.fixed_dictionaries({"key": st.text(max_size=20), "missed": st.booleans(), "counts": COUNTS}),
    max_size=50,
)


@given(WINDOWS)
def test_nights_are_whole_columns(windows: list[dict[str, object]]) -> None:
    found = charts.nights(windows, 30)
    assert [each.x for each in found] == list(range(30))[30 - len(found) :]
    for column in found:
        assert math.isclose(sum(part.height for part in column.parts), charts.HEIGHT, abs_tol=0.1)
        assert all(0 <= part.y <= charts.HEIGHT and part.height > 0 for part in column.parts)


def test_a_night_says_in_words_what_it_shows() -> None:
    counts = {"done": 98, "failed": 1, "was_on": 1}
    [night] = charts.nights([{"key": "2026-11-27", "missed": False, "counts": counts}], 30)
    assert night.title == "2026-11-27: 98 done, 1 failed, 1 was_on"
    assert {part.look for part in night.parts} == {"green", "red", "yellow"}
    assert min(part.height for part in night.parts) > 4, "one of a hundred is still seen"
    [missed] = charts.nights([{"key": "x", "missed": True, "counts": {}}], 30)
    assert (missed.title, missed.parts[0].look) == ("x: the server was down", "missed")


@given(st.lists(st.floats(0, 2**62)))
def test_columns_reach_from_the_ground_to_the_largest(values: list[float]) -> None:
    found = charts.columns([(value, "x") for value in values])
    for column in found:
        [part] = column.parts
        assert math.isclose(part.y + part.height, charts.HEIGHT)
        assert 0 <= part.height <= charts.HEIGHT
    if any(values):
        assert max(column.parts[0].height for column in found) == charts.HEIGHT


def test_a_curve() -> None:
    assert charts.curve([], 89, 100) == charts.Curve("", "")
    assert charts.curve([(0, 5)], 89, 0).line == ""
    drawn = charts.curve([(0, 50), (89, 200)], 89, 100)
    assert drawn.line == "0,50.0 89,0.0"
    assert drawn.area == "0,100.0 0,50.0 89,0.0 89,100.0"
