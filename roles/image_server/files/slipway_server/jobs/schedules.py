# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is due in a window, whose turn it is, and how each machine's night ends. Pure.

Due is a machine whose newest good version is older than the window's begin minus (every_days - 1)
days, so nothing is caught up, nothing drifts, and who was missed is due in the next window. Each
machine that was due has exactly one outcome in a window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from .job import Job
from .schedule_files import Schedule
from .windows import Times, Window

OUTCOMES = ("done", "degraded", "failed", "was_on", "no_answer", "busy", "postponed",
            "not_reached", "cancelled", "paused")  # fmt: skip
# What says that a machine was served.
SERVED = ("done", "degraded")
# What a machine is tried again after, and after how many seconds.
AGAIN = {"was_on": 900.0, "busy": 60.0, "failed": 60.0, "no_answer": 60.0}
_TRIED = ("failed", "no_answer")
_DAY = 86400.0


@dataclass(frozen=True)
class Night:
    """One machine in one window; without an outcome it is still to come, or at work."""

    machine: str
    outcome: str | None = None
    message: str = ""
    remedy: str = ""
    tries: int = 0
    # The job that is ordered or at work, or was last.
    job: str | None = None
    at_work: bool = False
    # How it would end if it got no other try: one of AGAIN.
    waits: str | None = None
    # Seconds since the epoch.
    ended_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether it has no outcome."""
        return self.outcome is None


def since(schedule: Schedule, times: Times, window: Window) -> float:
    """Who has a good version since then is not due, in seconds since the epoch."""
    if window.key != times.today(window.begins).isoformat():
        # One that somebody asked for, at a time of day of its own.
        return window.begins - (schedule.every_days - 1) * _DAY
    day = times.today(window.begins) - timedelta(days=schedule.every_days - 1)
    return times.moment(day, times.begin)


def is_due(newest: float | None, since_when: float) -> bool:
    """Whether a machine wants a version, whose newest good one was made then."""
    return newest is None or newest < since_when


def in_turn(nights: Iterable[Night], newest: Mapping[str, float | None]) -> list[Night]:
    """Those that can be tried, in their order: fewest tries, then oldest good version first."""
    return sorted(
        (each for each in nights if each.open),
        key=lambda each: (each.tries, newest.get(each.machine) or 0.0, each.machine),
    )


def begins(night: Night, job: str) -> Night:
    """A job was ordered for it."""
    return dataclasses.replace(night, job=job, at_work=True)


def is_busy(night: Night, message: str) -> Night:
    """It is somebody else's just now."""
    if night.waits in _TRIED:
        return night
    return dataclasses.replace(night, waits="busy", message=message)


def is_refused(night: Night, message: str, remedy: str, now: float) -> Night:
    """It can't be ordered: the same would be said again."""
    return _end(night, "failed", message, remedy, now)


def is_served(night: Night, now: float) -> Night:
    """It has what it was due for without a job of the schedule's."""
    return _end(night, "done", "It has a newer version that somebody else made.", "", now)


def after_job(night: Night, schedule: Schedule, job: Job, arrived: bool, now: float) -> Night:
    """Its job has ended. ``arrived``: whether the machine came into the environment."""
    outcome = job.outcome or "failed"
    if outcome == "abandoned":
        outcome = "failed" if arrived else "no_answer"
    said = dataclasses.replace(
        night, at_work=False, message=job.message, remedy=job.remedy, waits=outcome
    )
    if outcome == "was_on" and schedule.if_on == "wait":
        return said
    said = dataclasses.replace(said, tries=night.tries + 1)
    if outcome in _TRIED and said.tries < schedule.attempts:
        return said
    return _end(said, outcome, job.message, job.remedy, now)


def at_end(night: Night, paused: bool, now: float) -> Night:
    """Its window has ended, and no job of it is at work."""
    if not night.open:
        return night
    if night.waits is not None:
        return _end(night, night.waits, night.message, night.remedy, now)
    if paused:
        return _end(night, "paused", "The schedule was paused.", "", now)
    why = "The window ended before its turn came."
    return _end(night, "not_reached", why, "Make the window longer, or at_once larger.", now)


def again(night: Night) -> Night:
    """Its window, which was thought to be over, goes on."""
    untouched = night.outcome in ("not_reached", "paused") and not night.tries
    return Night(night.machine) if untouched else night


def missed(machine: str, now: float) -> Night:
    """The server was down all of the window."""
    why = "The server was down, or its service was, all of the window."
    return Night(machine, "not_reached", why, "It is due in the next one.", ended_at=now)


def _end(night: Night, outcome: str, message: str, remedy: str, now: float) -> Night:
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    return dataclasses.replace(
        night,
        outcome=outcome,
        message=message,
        remedy=remedy,
        at_work=False,
        waits=None,
        ended_at=now,
    )
