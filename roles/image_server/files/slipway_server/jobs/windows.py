# SPDX-License-Identifier: GPL-3.0-or-later
"""When a schedule may work: windows, made of local dates. Pure: no clock, no I/O.

A window belongs to the date on which it begins, and each date that has one has exactly one, in the
nights of a clock change as well. Of an hour that comes twice the first counts. A time that the
clock leaps over is the moment of the leap; a window of which the leap would leave less than half
is as long as on other days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

ALL_DAYS = frozenset(range(7))
_DAY = timedelta(days=1)
_WEEK_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Times:
    """When windows are. ``days``: 0 is Monday; ``but``: first and last dates without one."""

    begin: time
    end: time
    zone: tzinfo = UTC
    days: frozenset[int] = ALL_DAYS
    but: tuple[tuple[date, date], ...] = ()

    @property
    def length(self) -> timedelta:
        """How long a window is on days without a clock change; zero for none."""
        gap = datetime.combine(date.min, self.end) - datetime.combine(date.min, self.begin)
        return gap % _DAY

    def on(self, day: date) -> Window | None:
        """The window that begins on a date."""
        if day.weekday() not in self.days or any(first <= day <= last for first, last in self.but):
            return None
        later = _DAY if self.end <= self.begin else timedelta()
        begins, ends = self.moment(day, self.begin), self.moment(day + later, self.end)
        length = self.length.total_seconds()
        if ends - begins < length / 2:
            ends = begins + length
        return Window(day.isoformat(), begins, ends)

    def moment(self, day: date, clock: time) -> float:
        """When the clock shows that time on that day, in seconds since the epoch."""
        shown = datetime.combine(day, clock, self.zone)
        late, early = shown.timestamp(), shown.replace(fold=1).timestamp()
        # Before and after a leap the same words mean later and earlier; else they mean the same,
        # or the first and the second of two.
        return late if late <= early else self._leap(early, late)

    def _leap(self, early: float, late: float) -> float:
        """The first whole second at which the clock has leapt."""
        low, high = int(early), int(late)
        before = self._offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return float(high)

    def _offset(self, moment: float) -> timedelta | None:
        return datetime.fromtimestamp(moment, self.zone).utcoffset()

    def today(self, now: float) -> date:
        """The local date of a moment."""
        return datetime.fromtimestamp(now, self.zone).date()

    def at(self, now: float) -> Window | None:
        """The window in which a moment lies."""
        return next((each for each in self._near(now) if each.begins <= now < each.ends), None)

    def after(self, now: float, most: int = 400) -> Window | None:
        """The next window that begins later; None: none within so many days."""
        day = self.today(now)
        for number in range(-1, most):
            found = self.on(day + number * _DAY)
            if found is not None and found.begins > now:
                return found
        return None

    def ended_within(self, since: float, now: float) -> Iterator[Window]:
        """The windows that began at ``since`` or later, and have ended, oldest first."""
        day, last = self.today(since) - _DAY, self.today(now)
        while day <= last:
            found = self.on(day)
            if found is not None and since <= found.begins and found.ends <= now:
                yield found
            day += _DAY

    def _near(self, now: float) -> Iterator[Window]:
        today = self.today(now)
        for number in (-2, -1, 0, 1):
            if (found := self.on(today + number * _DAY)) is not None:
                yield found

    def clashes(self, other: Times) -> bool:
        """Whether windows of both overlap in an ordinary week; exceptions do not count."""
        return any(
            (start - begin) % _WEEK_MINUTES < length or (begin - start) % _WEEK_MINUTES < span
            for begin, length in self._in_week()
            for start, span in other._in_week()
        )

    def _in_week(self) -> list[tuple[int, int]]:
        begin = self.begin.hour * 60 + self.begin.minute
        length = int(self.length.total_seconds()) // 60
        return [(day * 1440 + begin, length) for day in sorted(self.days)]


@dataclass(frozen=True)
class Window:
    """One window. Times are seconds since the epoch; its end is outside."""

    # The date, or a local time for one that somebody asked for.
    key: str
    begins: float
    ends: float
