# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows: a table of the nights on which clocks change, and what is true of any window."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slipway_server.jobs.windows import Times

DAY = timedelta(days=1)
# Each with the dates on which its clock is set ahead and back, of one year.
ZONES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    # Half an hour, and in the other half of the year.
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),
    # At midnight: the day of the leap begins at one.
    "Africa/Cairo": (date(2026, 4, 24), date(2026, 10, 29)),
}
clocks = st.times().map(lambda each: each.replace(second=0, microsecond=0, fold=0))


def shown(moment: float, zone: str) -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%d %H:%M")


@pytest.mark.parametrize(
    ("zone", "day", "begin", "end", "begins", "ends", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 28), "20:00", "06:00", "28 20:00", "29 06:00", 9),
        ("Europe/Berlin", (2026, 10, 24), "20:00", "06:00", "24 20:00", "25 06:00", 11),
        # What the clock leaps over is neither lost nor moved out of the night.
        ("Europe/Berlin", (2026, 3, 29), "02:30", "06:00", "29 03:00", "29 06:00", 3),
        ("Europe/Berlin", (2026, 3, 29), "02:00", "03:00", "29 03:00", "29 04:00", 1),
        ("Europe/Berlin", (2026, 3, 29), "02:15", "02:45", "29 03:00", "29 03:30", 0.5),
        ("Europe/Berlin", (2026, 3, 28), "22:00", "02:30", "28 22:00", "29 03:00", 4),
        # An hour that comes twice is used once, or all of it.
        ("Europe/Berlin", (2026, 10, 25), "02:00", "02:30", "25 02:00", "25 02:30", 0.5),
        ("Europe/Berlin", (2026, 10, 25), "02:00", "03:00", "25 02:00", "25 03:00", 2),
        ("America/New_York", (2026, 3, 8), "02:30", "02:45", "08 03:00", "08 03:15", 0.25),
        ("America/New_York", (2026, 11, 1), "01:30", "01:45", "01 01:30", "01 01:45", 0.25),
        ("Australia/Lord_Howe", (2026, 10, 4), "02:10", "02:20", "04 02:30", "04 02:40", 1 / 6),
        ("Africa/Cairo", (2026, 4, 24), "00:00", "00:30", "24 01:00", "24 01:30", 0.5),
        ("UTC", (2026, 12, 31), "23:00", "01:00", "31 23:00", "01 01:00", 2),
    ],
)
def test_windows_of_nights(
    zone: str, day: tuple[int, int, int], begin: str, end: str, begins: str, ends: str, hours: float
) -> None:
    times = Times(time.fromisoformat(begin), time.fromisoformat(end), ZoneInfo(zone))
    found = times.on(date(*day))
    assert found is not None
    assert (shown(found.begins, zone), shown(found.ends, zone)) == (begins, ends)
    assert found.ends - found.begins == hours * 3600
    assert found.key == date(*day).isoformat()


@pytest.mark.parametrize("zone", ZONES)
@given(begin=clocks, end=clocks, data=st.data())
def test_each_date_has_one_window_and_windows_do_not_overlap(
    zone: str, begin: time, end: time, data: st.DataObject
) -> None:
    if begin == end:
        return
    change = data.draw(st.sampled_from(ZONES[zone]))
    times = Times(begin, end, ZoneInfo(zone))
    days = [change + number * DAY for number in range(-3, 4)]
    found = [times.on(day) for day in days]
    for day, window in zip(days, found, strict=True):
        assert window is not None
        length = window.ends - window.begins
        assert times.length.total_seconds() / 2 <= length <= times.length.total_seconds() + 3600
        assert times.today(window.begins) == day
        for moment in (window.begins, window.ends - 1, (window.begins + window.ends) / 2):
            assert times.at(moment) == window
        assert times.after(window.begins - 1) == window
    windows = [each for each in found if each is not None]
    for one, two in itertools.pairwise(windows):
        assert one.ends <= two.begins
        assert times.after(one.begins) == two
    assert list(times.ended_within(windows[0].begins, windows[-1].ends)) == windows


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    st.integers(0, 400),
    st.dates(date(2020, 1, 1), date(2035, 1, 1)),
)
def test_days_and_exceptions_are_of_the_date_on_which_a_window_begins(
    days: set[int], first: date, span: int, day: date
) -> None:
    last = first + span * DAY
    times = Times(time(20), time(6), UTC, frozenset(days), ((first, last),))
    wanted = day.weekday() in days and not first <= day <= last
    assert (times.on(day) is not None) == wanted
    if wanted:
        after = datetime.combine(day + DAY, time(5, 59), UTC).timestamp()
        assert times.at(after) == times.on(day)


@given(clocks, clocks, clocks, clocks, st.sets(st.integers(0, 6)), st.sets(st.integers(0, 6)))
@example(time(20), time(6), time(5, 59), time(7), {6}, {0})
@example(time(20), time(6), time(6), time(20), {0, 6}, {0, 6})
def test_two_windows_clash_when_a_minute_is_in_both(
    begin: time, end: time, start: time, stop: time, days: set[int], others: set[int]
) -> None:
    if begin == end or start == stop:
        return
    one, two = Times(begin, end, UTC, frozenset(days)), Times(start, stop, UTC, frozenset(others))
    first = date(2026, 6, 1)
    windows = [
        [found for number in range(14) if (found := each.on(first + number * DAY)) is not None]
        for each in (one, two)
    ]
    overlap = any(
        mine.begins < theirs.ends and theirs.begins < mine.ends
        for mine in windows[0]
        for theirs in windows[1]
    )
    assert one.clashes(two) == two.clashes(one) == overlap
