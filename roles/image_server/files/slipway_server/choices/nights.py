# SPDX-License-Identifier: GPL-3.0-or-later
"""The clockwork of schedules: looks again and again what is due now, and orders it.

It sends nothing on the network: jobs do, and whoever plays them looks whether a machine is on.
Nothing is ordered outside a window, and what is ordered is not begun outside of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile
from ..base.threads import Run
from ..base.times import wall
from ..jobs import schedules as rules
from ..jobs.job import Job
from ..jobs.night_book import KEPT, NightBook, Record, Standing
from ..jobs.schedule_files import Plan, Schedule
from ..jobs.schedules import Night
from ..jobs.windows import Times
from .ordering import Wanted

log = logging.getLogger(__name__)

# How often all machines of an open window are judged anew.
_JUDGE_SECONDS = 60.0
# Of so many windows it is said if they were missed.
_TOLD = 7
_NOT_COME = "It had not come when the window ended."


class Work(Protocol):
    """What the clockwork asks for and about: `NightWork`."""

    async def newest(self, machines: Sequence[str]) -> dict[str, float | None]:
        """When the newest good version of each machine's own image was made."""

    async def order(self, wanted: Wanted, by: str) -> Job:
        """Order a job; ServiceError when it can't be."""

    def job(self, job_id: str) -> Job | None:
        """A job as it is now; None: it is forgotten."""

    def has_arrived(self, job: Job) -> bool:
        """Whether its machine came into the environment."""

    async def is_degraded(self, job: Job) -> bool:
        """Whether the version that it made is."""

    async def cancel(self, job: Job, why: str) -> None:
        """End a job that has not ended."""


class Nights:
    """Runs in the event loop."""

    def __init__(
        self,
        plans: PolicyFile[Plan],
        book: NightBook,
        work: Work,
        run: Run,
        wall: Callable[[], float] = wall,
        clock: Callable[[], float] = time.monotonic,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """``run`` does blocking work in a thread; ``wall`` says what time it is.

        ``closed`` is called when every machine of a window has its outcome.
        """
        self._plans = plans
        self.book = book
        self._work = work
        self._run = run
        self._wall = wall
        self._clock = clock
        self._closed = closed
        self._plan = Plan()
        self._ages: dict[str, dict[str, float | None]] = {}
        self._judged: dict[str, float] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._next_order: dict[str, float] = {}
        # Whose turn it is: a look at what is due is of one moment, and must not end a window that
        # somebody asks for while it works.
        self.turn = asyncio.Lock()

    async def look(self) -> None:
        """Do what is due now."""
        async with self.turn:
            await self._look(self._wall())

    async def _look(self, now: float) -> None:
        try:
            self._plan = plan = await self._run(self._plans.current)
        except ServiceError:
            # Its state is shown; what is at work is finished by the plan before.
            plan = self._plan
            readable = False
        else:
            readable = True
        for name, schedule in plan.schedules.items():
            await self._follow(name, schedule, now, readable)
        if readable:
            for name in self.book.names():
                if name not in plan.schedules:
                    await self._let_go(name, now)

    async def _follow(self, name: str, schedule: Schedule, now: float, readable: bool) -> None:
        times = schedule.times(self._plan.zone)
        await self._stand(name, now)
        await self._note_missed(name, schedule, times, now)
        current = await self._current(name, schedule, times, now)
        for record in self.book.records(name):
            if record.open:
                await self._settle(record, schedule, now)
                if record is not current:
                    await self._finish(record, schedule, now)
        if current is not None and readable:
            await self._find_due(current, schedule, times, now)
            if not self.is_paused(name, current, now):
                await self._order_some(current, schedule, now)

    async def _stand(self, name: str, now: float) -> None:
        digest = self._plan.digest(name)
        known = self.book.standings.get(name)
        if known is None:
            await self.book.stand(name, Standing(now, digest))
        elif known.digest != digest:
            # Windows that were others are none that could have been missed.
            await self.book.stand(name, dataclasses.replace(known, since=now, digest=digest))

    async def _note_missed(self, name: str, schedule: Schedule, times: Times, now: float) -> None:
        known = self.book.records(name)
        since = max([self.book.standings[name].since, *(each.window.begins for each in known)])
        lost = [
            each for each in times.ended_within(since, now) if not self.book.get(name, each.key)
        ]
        if not lost:
            return
        await self._judge(name, schedule)
        for window in lost[-KEPT:]:
            record = Record(name, window, schedule.verb, closed_at=now, missed=True)
            since = rules.since(schedule, times, window)
            due = [each for each in schedule.machines if self._is_due(name, each, since)]
            await self.book.keep(record, (rules.missed(each, now) for each in due))
            log.warning("schedule %s: the window of %s was missed", name, window.key)
        await self.book.forget(name, now)

    async def _current(
        self, name: str, schedule: Schedule, times: Times, now: float
    ) -> Record | None:
        """The record of the window in which the time lies."""
        for asked in self.book.records(name):
            if asked.by and asked.open and asked.window.begins <= now < asked.window.ends:
                return asked
        window = times.at(now)
        if window is None:
            return None
        record = self.book.get(name, window.key)
        if record is None:
            return await self.open(Record(name, window, schedule.verb), now)
        if record.open and record.window == window:
            return record
        # A clock that was wrong for a while had ended it, or the inventory has changed its end.
        record.window, record.closed_at, record.missed = window, None, False
        self._judged.pop(name, None)
        await self.book.keep(record, map(rules.again, record.nights.values()))
        return record

    async def open(self, record: Record, now: float) -> Record:
        """Begin a window."""
        log.info("schedule %s: the window of %s begins", record.schedule, record.window.key)
        self._judged.pop(record.schedule, None)
        await self.book.keep(record)
        await self.book.forget(record.schedule, now)
        return record

    async def _judge(self, name: str, schedule: Schedule) -> None:
        """Look when machines were last served."""
        if schedule.verb == "backup":
            self._ages[name] = await self._work.newest(schedule.machines)
        else:
            self._ages[name] = {each: self.book.served_at(name, each) for each in schedule.machines}

    def _is_due(self, name: str, machine: str, since: float) -> bool:
        return rules.is_due(self._ages.get(name, {}).get(machine), since)

    async def _find_due(self, record: Record, schedule: Schedule, times: Times, now: float) -> None:
        name, clock = record.schedule, self._clock()
        last = self._judged.get(name)
        if last is not None and clock - last < _JUDGE_SECONDS:
            return
        await self._judge(name, schedule)
        self._judged[name] = clock
        since = rules.since(schedule, times, record.window)
        changed = []
        for machine in schedule.machines:
            night, due = record.nights.get(machine), self._is_due(name, machine, since)
            if night is None and due:
                changed.append(Night(machine))
            elif night is not None and night.open and not night.at_work and not due:
                changed.append(rules.is_served(night, now))
        if changed:
            await self.book.keep(record, changed)

    async def _order_some(self, record: Record, schedule: Schedule, now: float) -> None:
        name, there = record.schedule, set(schedule.machines)
        free = schedule.at_once - sum(each.at_work for each in record.nights.values())
        for night in rules.in_turn(record.nights.values(), self._ages.get(name, {})):
            clock = self._clock()
            if free <= 0 or clock < self._next_order.get(name, 0.0):
                return
            place = (name, night.machine)
            if (
                night.at_work
                or night.machine not in there
                or clock < self._not_before.get(place, 0)
            ):
                continue
            after = await self._order(record, schedule, night, now)
            await self.book.keep(record, [after])
            if after.at_work:
                free -= 1
                self._next_order[name] = clock + schedule.stagger_seconds
            elif after.waits is not None:
                self._not_before[place] = clock + rules.AGAIN["busy"]

    async def _order(self, record: Record, schedule: Schedule, night: Night, now: float) -> Night:
        wanted = Wanted(
            night.machine,
            schedule.verb,
            None if schedule.verb in ("backup", "wake") else schedule.image_of(night.machine),
            options=schedule.options,
            after=schedule.after,
            not_after=record.window.ends,
        )
        try:
            job = await self._work.order(wanted, record.schedule)
        except ServiceError as error:
            if error.error == "machine_busy":
                return rules.is_busy(night, error.message)
            return rules.is_refused(night, error.message, error.remedy, now)
        return rules.begins(night, job.id)

    async def _settle(self, record: Record, schedule: Schedule, now: float) -> None:
        """Take over how jobs ended."""
        changed = []
        for night in record.nights.values():
            if not night.at_work:
                continue
            job = self._work.job(night.job or "")
            if job is None:
                why = "Nobody knows any more how its job ended."
                after = rules.is_refused(night, why, "It is due in the next window.", now)
            elif job.open:
                continue
            else:
                if job.outcome == "done" and await self._work.is_degraded(job):
                    job = dataclasses.replace(job, outcome="degraded")
                after = rules.after_job(night, schedule, job, self._work.has_arrived(job), now)
            if after.waits is not None:
                place = (record.schedule, night.machine)
                self._not_before[place] = self._clock() + rules.AGAIN[after.waits]
            changed.append(after)
        if changed:
            await self.book.keep(record, changed)

    async def _finish(self, record: Record, schedule: Schedule, now: float) -> None:
        """Its window is over: what works goes on to its end, and nothing else begins."""
        paused = self.is_paused(record.schedule, record, now)
        changed, works = [], False
        for night in [each for each in record.nights.values() if each.open]:
            after = night
            job = self._work.job(night.job or "") if night.at_work else None
            if job is not None and job.open:
                if job.state == "running" and self._work.has_arrived(job):
                    works = True
                    continue
                await self._work.cancel(job, "The window has ended.")
                if job.state == "running":
                    lost = dataclasses.replace(job, outcome="abandoned", message=_NOT_COME)
                    after = rules.after_job(night, schedule, lost, False, now)
            changed.append(rules.at_end(after, paused, now))
        if not works:
            record.closed_at = now
            log.info("schedule %s: the window of %s has ended", record.schedule, record.window.key)
        if changed or not works:
            await self.book.keep(record, changed)
        if not works:
            self._closed()

    async def _let_go(self, name: str, now: float) -> None:
        """Of a schedule that is no longer planned: what works goes on, and its past is kept."""
        for record in self.book.records(name):
            if record.open:
                nobody = _nobody(record)
                await self._settle(record, nobody, now)
                await self._finish(record, nobody, now)
        if not any(each.open for each in self.book.records(name)):
            await self.book.drop(name)

    def is_paused(self, name: str, record: Record, now: float) -> bool:
        """Whether nothing is ordered in that window now; what somebody asks for is."""
        standing = self.book.standings.get(name)
        if standing is None or record.by:
            return False
        paused = standing.paused_until is not None and now < standing.paused_until
        return paused or standing.skipped == record.window.key

    def warnings(self) -> list[str]:
        """What somebody should see to. Blocks."""
        broken = self._plans.problem()
        found = [] if broken is None else [broken]
        for name in self.book.names():
            lost = [each.window.key for each in self.book.records(name)[-_TOLD:] if each.missed]
            if lost:
                windows = ", ".join(lost)
                found.append(f"schedule {name}: the server was down in the windows of {windows}")
        return found


def _nobody(record: Record) -> Schedule:
    """What a window goes by whose schedule is gone: nobody is tried again."""
    return Schedule.model_construct(verb=record.verb, machines=[], attempts=1, if_on="skip")
