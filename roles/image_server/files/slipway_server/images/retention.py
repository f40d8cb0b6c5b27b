# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of one image are kept, and why: a pure function, without a clock and without I/O.

Any rule keeps a version, and a version shows all of its reasons. A rule looks at good versions
that nothing else keeps: ``last n`` keeps the n newest, ``daily n`` the newest of each of the last n
days that have one, and the others alike with ISO weeks, months and years. So a larger number never
removes anything, and a gap in the nights costs none of the older days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from slipway.format.names import is_ahead, version_key

from .policy import Keep

# How long a version that is not good stays once a good one is newer.
GRACE = timedelta(days=7)
NEWEST = "newest good version"
_DAY = timedelta(days=1)
_Period = tuple[int, ...]

_PERIODS: dict[str, Callable[[date], _Period]] = {
    "daily": lambda day: (day.toordinal(),),
    "weekly": lambda day: tuple(day.isocalendar()[:2]),
    "monthly": lambda day: (day.year, day.month),
    "yearly": lambda day: (day.year,),
}


@dataclass(frozen=True)
class Facts:
    """What is known of a version. ``kept_by``: what holds or names it, in words."""

    version: str
    good: bool = True
    kept_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What becomes of a version: without a reason it goes now.

    ``goes``: the first day on which no reason is left if each day from now on brings a good
    version; None: not by itself.
    """

    version: str
    reasons: tuple[str, ...]
    goes: date | None = None


def decide(facts: Sequence[Facts], keep: Keep | None, zone: tzinfo, now: datetime) -> list[Verdict]:
    """Judge all versions of one image, newest first. ``keep`` None: everything is kept."""
    known = [
        _Known(each, moment_of(each.version), is_ahead(each.version, now))
        for each in sorted(facts, key=lambda each: version_key(each.version), reverse=True)
    ]
    today = now.astimezone(zone).date()
    ruled = _by_rules(known, keep, zone, today) if keep is not None else {}
    newest = next((each.facts.version for each in known if each.facts.good), None)
    # Moments of good versions that are not of a time to come, for those that are not good.
    good = [
        each.moment
        for each in reversed(known)
        if each.facts.good and each.moment is not None and not each.ahead
    ]
    return [
        _verdict(each, keep, ruled.get(each.facts.version, []), newest, good, now, today)
        for each in known
    ]


class _Known(NamedTuple):
    """A version, when it says that it was made, and whether that is still to come."""

    facts: Facts
    moment: datetime | None
    ahead: bool


def _verdict(
    each: _Known,
    keep: Keep | None,
    ruled: list[tuple[str, date | None]],
    newest: str | None,
    good: list[datetime],
    now: datetime,
    today: date,
) -> Verdict:
    version = each.facts.version
    reasons = list(each.facts.kept_by)
    goes: list[date | None] = [None] if reasons else []
    if each.ahead or each.moment is None:
        reasons.append("says a time to come" if each.ahead else "says no time")
        goes.append(None)
    if keep is None:
        reasons.append("no rule: everything is kept")
        goes.append(None)
    if version == newest:
        reasons.append(NEWEST)
        goes.append(today + _DAY)
    if not each.facts.good and keep is not None and (until := _grace(each, good, now)) is not None:
        reasons.append(until[0])
        goes.append(until[1] or today + GRACE + _DAY)
    reasons += [rule for rule, _ in ruled]
    goes += [day for _, day in ruled]
    last = None if None in goes else max(_days(goes), default=None)
    return Verdict(version, tuple(reasons), last)


def _days(goes: list[date | None]) -> Iterator[date]:
    return (day for day in goes if day is not None)


def _grace(each: _Known, good: list[datetime], now: datetime) -> tuple[str, date | None] | None:
    """Why a version that is not good stays, and until when."""
    own = each.moment
    following = next((moment for moment in good if own is not None and moment > own), None)
    if following is None:
        return "not good, and no good version is newer", None
    if following + GRACE > now:
        return "not good: a week more", (following + GRACE).date() + _DAY
    return None


def _by_rules(
    known: Sequence[_Known], keep: Keep, zone: tzinfo, today: date
) -> dict[str, list[tuple[str, date | None]]]:
    """The rules that keep each version, with the first day on which each does so no more."""
    places = [
        (each.facts.version, each.moment.astimezone(zone).date())
        for each in known
        if each.facts.good and not each.facts.kept_by and not each.ahead and each.moment is not None
    ]
    found: dict[str, list[tuple[str, date | None]]] = {}
    for place, (version, _) in enumerate(places[: keep.last]):
        day = _later("daily", today, keep.last - place)
        found.setdefault(version, []).append((f"last {keep.last}", day))
    for rule, period_of in _PERIODS.items():
        most: int = getattr(keep, rule)
        if most:
            _by_periods(places, rule, period_of, most, today, found)
    return found


def _by_periods(
    places: list[tuple[str, date]],
    rule: str,
    period_of: Callable[[date], _Period],
    most: int,
    today: date,
    found: dict[str, list[tuple[str, date | None]]],
) -> None:
    tomorrow = period_of(today + _DAY)
    seen: list[_Period] = []
    for version, day in places:
        period = period_of(day)
        if seen and seen[-1] == period:
            continue
        if len(seen) == most:
            break
        # One of a period that goes on is followed by tomorrow's.
        left = most - len(seen)
        seen.append(period)
        goes = today + _DAY if period == tomorrow else _nth(rule, today, seen[0], left)
        found.setdefault(version, []).append((f"{rule} {most}", goes))


def _nth(rule: str, today: date, newest: _Period, count: int) -> date | None:
    """The day that brings the ``count``-th period which has no version yet."""
    tomorrow = today + _DAY
    if _PERIODS[rule](tomorrow) != newest:
        count -= 1
    return tomorrow if count == 0 else _later(rule, tomorrow, count)


def _later(rule: str, day: date, count: int) -> date | None:
    """The first day of the ``count``-th period after that of a day; None: no calendar has it."""
    try:
        if rule == "yearly":
            return date(day.year + count, 1, 1)
        if rule == "monthly":
            months = day.year * 12 + day.month - 1 + count
            return date(months // 12, months % 12 + 1, 1)
        if rule == "weekly":
            return day + timedelta(days=7 * count - day.weekday())
        return day + timedelta(days=count)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=1 << 16)
def moment_of(version: str) -> datetime | None:
    """When a version says that it was made; None: its digits are no time."""
    try:
        base = version.partition("-")[0]
        return datetime.strptime(base, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
