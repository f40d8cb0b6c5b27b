# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about schedules look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from .common import Strict

Outcome = Literal["done", "degraded", "failed", "was_on", "no_answer", "busy", "postponed",
                  "not_reached", "cancelled", "paused"]  # fmt: skip


class PauseRequest(Strict):
    """Until when nothing is ordered."""

    until: Annotated[str, Field(max_length=40)] | None = Field(
        description="a date or time of the schedule's time zone; null: go on now"
    )


class WindowTimes(BaseModel):
    """One window."""

    key: str = Field(description="its date, or a local time if somebody asked for it")
    begins: str
    ends: str


class WindowView(WindowTimes):
    """A window that has begun."""

    by: str = Field(description="the account that asked for it; empty: it was planned")
    closed: str | None = Field(description="when every machine had its outcome")
    missed: bool = Field(description="whether the service was down all of it")
    counts: dict[str, int] = Field(description="machines by outcome, at_work or waits")


class ScheduleView(BaseModel):
    """A schedule, its last windows and the next."""

    name: str
    time_zone: str
    verb: str
    image: str | None
    machines: list[str]
    pattern: str
    options: dict[str, Any] = Field(description="what each job is told beside its verb")
    days: list[str]
    begin: str = Field(alias="from")
    end: str = Field(alias="to")
    every_days: int
    alarm_days: int
    open: str | None = Field(description="the key of the window that is open")
    next: WindowTimes | None
    paused_until: str | None
    skips: str | None = Field(description="the key of the window that is left out")
    windows: list[WindowView] = Field(description="oldest first")
    yours: bool = Field(
        default=True, description="whether who asks may run, pause and leave out windows"
    )


class ScheduleList(BaseModel):
    """All schedules."""

    schedules: list[ScheduleView]


class NightView(BaseModel):
    """One machine in one window."""

    machine: str
    outcome: Outcome | None
    state: Literal["waits", "at_work", "ended"]
    message: str
    remedy: str
    tries: int
    job: str | None


class WindowNights(BaseModel):
    """Everybody who was due in a window."""

    key: str
    machines: list[NightView]


class ScheduleNights(ScheduleView):
    """A schedule, with how each machine's night ended."""

    nights: list[WindowNights]
