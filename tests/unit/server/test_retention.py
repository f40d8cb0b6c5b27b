# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions are kept: a table, and what is true of any versions and any rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_server.images.policy import Keep
from slipway_server.images.retention import NEWEST, Facts, Verdict, decide

from ..conftest import FUZZ

UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


def at(text: str) -> str:
    """`06-14` or `06-14 20`, of this year unless it says another, as a version."""
    day, _, hour = text.partition(" ")
    day = day if len(day) > 5 else f"2026-{day}"
    return f"{day.replace('-', '')}T{hour or '06':0>2}0000Z"


def facts(*texts: str, bad: Collection[str] = (), **kept: tuple[str, ...]) -> list[Facts]:
    return [Facts(at(each), each not in bad) for each in texts]


def kept(found: list[Facts], **rules: int) -> dict[str, Verdict]:
    verdicts = decide(found, Keep(**rules), UTC_ZONE, NOW)
    return {each.version: each for each in verdicts if each.reasons}


@pytest.mark.parametrize(
    ("rules", "there", "stay"),
    [
        ({"last": 1}, ["06-14", "06-13"], ["06-14"]),
        ({"last": 3}, ["06-14", "06-13"], ["06-14", "06-13"]),
        # The newest of each day; a day without a version costs nothing.
        ({"daily": 2}, ["06-14 22", "06-14 10", "06-10", "06-09"], ["06-14 22", "06-10"]),
        # ISO weeks begin on Monday: the 7th is a Sunday, the 8th a Monday.
        ({"weekly": 2}, ["06-14", "06-08", "06-07", "06-01"], ["06-14", "06-07"]),
        # The last days of December belong to the first ISO week of the next year.
        (
            {"weekly": 2},
            ["2026-01-01", "2025-12-29", "2025-12-28", "2025-12-21"],
            ["2026-01-01", "2025-12-28"],
        ),
        ({"monthly": 2}, ["06-14", "06-01", "05-31", "05-01", "04-30"], ["06-14", "05-31"]),
        ({"yearly": 2}, ["06-14", "2025-12-31", "2024-01-01"], ["06-14", "2025-12-31"]),
        # A version is kept if any rule keeps it.
        (
            {"last": 1, "daily": 1, "monthly": 2},
            ["06-14 22", "06-14 10", "06-13", "05-20", "05-10"],
            ["06-14 22", "05-20"],
        ),
    ],
)
def test_what_each_rule_keeps(rules: dict[str, int], there: list[str], stay: list[str]) -> None:
    assert list(kept(facts(*there), **rules)) == [at(each) for each in stay]


def test_a_version_shows_all_its_reasons_and_when_the_last_of_them_ends() -> None:
    shown = kept(facts("06-14", "06-13", "05-31"), last=2, daily=7, weekly=2, monthly=3)
    assert shown[at("06-14")].reasons == (NEWEST, "last 2", "daily 7", "weekly 2", "monthly 3")
    assert shown[at("06-13")].reasons == ("last 2", "daily 7")
    # Six more days with a version, then it is the eighth.
    assert shown[at("06-13")].goes == date(2026, 6, 21)
    assert shown[at("05-31")].reasons == ("daily 7", "weekly 2", "monthly 3")
    # June is under way, then July, and August pushes May out.
    assert shown[at("05-31")].goes == date(2026, 8, 1)


def test_when_a_version_goes_is_when_it_goes() -> None:
    """A version each day from now on: what was foretold for each is what comes."""
    rules = {"last": 3, "daily": 7, "weekly": 4, "monthly": 3, "yearly": 2}
    versions = [at(str((NOW - DAY * back).date())) for back in range(1, 400, 3)]
    foretold = {
        each.version: each.goes
        for each in decide([Facts(v) for v in versions], Keep(**rules), UTC_ZONE, NOW)
    }
    there, now = set(versions), NOW
    for _ in range(1200):
        there = {
            each.version
            for each in decide([Facts(v) for v in there], Keep(**rules), UTC_ZONE, now)
            if each.reasons
        }
        for version, day in foretold.items():
            if day is not None and (version in there) != (now.date() < day) and now > NOW:
                raise AssertionError((version, day, now, version in there))
        now += DAY
        there.add(at(str(now.date())))


def test_days_begin_where_the_inventory_says() -> None:
    found = [Facts("20260610T233000Z"), Facts("20260610T213000Z")]
    utc = decide(found, Keep(daily=2), UTC_ZONE, NOW)
    berlin = decide(found, Keep(daily=2), ZoneInfo("Europe/Berlin"), NOW)
    assert [bool(each.reasons) for each in utc] == [True, False]
    assert [bool(each.reasons) for each in berlin] == [True, True]


def test_what_is_never_removed_fills_no_place() -> None:
    held = Facts(at("06-12"), kept_by=("held: exams",))
    ahead = Facts(at("06-20"))
    shown = kept([ahead, *facts("06-14", "06-13", "06-11"), held], last=2)
    assert list(shown) == [at("06-20"), at("06-14"), at("06-13"), at("06-12")]
    assert shown[at("06-12")].reasons == ("held: exams",)
    assert shown[at("06-12")].goes is None
    assert "says a time to come" in shown[at("06-20")].reasons
    odd = decide(
        [Facts("20261399T000000Z"), Facts("20260230T000000Z")], Keep(last=1), UTC_ZONE, NOW
    )
    assert all(each.reasons for each in odd)


def test_what_is_not_good_waits_for_one_that_is_and_then_a_week() -> None:
    only_bad = facts("06-14", "06-13", bad=["06-14", "06-13"])
    assert len(kept(only_bad, last=1)) == 2
    young = facts("06-12", "06-05", bad=["06-05"])
    shown = kept(young, last=1)
    assert "not good: a week more" in shown[at("06-05")].reasons[0]
    assert shown[at("06-05")].goes == date(2026, 6, 20)
    old = facts("06-14", "06-07", "06-05", bad=["06-05"])
    assert list(kept(old, last=1)) == [at("06-14")]
    # It counts nowhere: the newest good one is another.
    assert NEWEST in kept(facts("06-14", "06-13", bad=["06-14"]), last=1)[at("06-13")].reasons


def test_without_rules_everything_is_kept() -> None:
    verdicts = decide(facts("06-14", "2001-01-01", bad=["06-14"]), None, UTC_ZONE, NOW)
    assert [each.goes for each in verdicts] == [None, None]
    assert all("no rule: everything is kept" in each.reasons for each in verdicts)


MOMENTS = st.integers(min_value=-3000, max_value=20).map(lambda hours: NOW + hours * 7 * DAY / 24)


@st.composite
def images(draw: Callable[[Any], Any]) -> list[Facts]:
    moments = draw(st.lists(MOMENTS, unique=True, max_size=40))
    return [
        Facts(
            moment.strftime("%Y%m%dT%H%M%SZ"),
            draw(st.booleans()) or draw(st.booleans()),
            draw(st.sampled_from([(), (), (), (), ("held",), ("alias x",)])),
        )
        for moment in moments
    ]


COUNTS = st.integers(min_value=0, max_value=12)
RULES = st.fixed_dictionaries(
    dict.fromkeys(("last", "daily", "weekly", "monthly", "yearly"), COUNTS)
).filter(lambda rules: any(rules.values()))


@pytest.mark.fuzz
@settings(max_examples=max(500, FUZZ))
@given(images(), RULES, st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]))
def test_any_versions_and_any_rules(found: list[Facts], rules: dict[str, int], more: str) -> None:
    stay = kept(found, **rules)
    good = [each.version for each in found if each.good]
    # The newest good one, and all that is held or named.
    assert not good or max(good) in stay
    assert {each.version for each in found if each.kept_by} <= stay.keys()
    # A larger number removes nothing.
    assert stay.keys() <= kept(found, **rules | {more: rules[more] + 1}).keys()
    # A second run has nothing to do.
    left = [each for each in found if each.version in stay]
    assert kept(left, **rules).keys() == stay.keys()
    # No more than the rules have places, beside what needs none.
    ruled = [
        each
        for each in stay.values()
        if any(" " in r and r.split()[0] in rules for r in each.reasons)
    ]
    assert len(ruled) <= sum(rules.values())
    # Whatever is not kept has a good version that is newer, and who goes later has a reason.
    assert all(each.version in stay or each.version < max(good) for each in found)
    assert all(each.goes is None or each.goes > NOW.date() for each in stay.values())


@pytest.mark.parametrize("seed", range(6))
def test_five_hundred_days_with_a_third_of_the_nights_missing(seed: int) -> None:
    chance = random.Random(seed)
    rules = {"last": 3, "daily": 7, "weekly": 4, "monthly": 6, "yearly": 2}
    made: list[date] = []
    there: set[date] = set()
    day = date(2025, 1, 1)
    for _ in range(500):
        if chance.random() > 0.3:
            made.append(day)
            there.add(day)
        now = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
        verdicts = decide([Facts(at(str(each))) for each in there], Keep(**rules), UTC_ZONE, now)
        gone = {each.version for each in verdicts if not each.reasons}
        there = {each for each in there if at(str(each)) not in gone}
        day += DAY
    # What a single look at all that was ever made would keep is there.
    newest_first = sorted(made, reverse=True)
    assert set(newest_first[:3]) <= there
    periods: dict[str, Callable[[date], Any]] = {
        "daily": lambda each: each,
        "weekly": lambda each: each.isocalendar()[:2],
        "monthly": lambda each: (each.year, each.month),
        "yearly": lambda each: each.year,
    }
    for rule, period in periods.items():
        newest: dict[Any, date] = {}
        for each in newest_first:
            newest.setdefault(period(each), each)
        assert set(list(newest.values())[: rules[rule]]) <= there, rule
    assert len(there) <= sum(rules.values())
