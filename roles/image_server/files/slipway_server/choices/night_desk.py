# SPDX-License-Identifier: GPL-3.0-or-later
"""What people may do with schedules: look, run one now, pause it, leave one window out."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile, did_you_mean, some_of
from ..base.threads import Run
from ..base.times import iso, wall
from ..images.images import Images
from ..jobs.night_book import Record, Standing
from ..jobs.schedule_files import Plan, Schedule
from ..jobs.windows import Window
from .menu_files import MenuFiles
from .nights import Nights

# So many windows are shown of each schedule, and of so many how each machine ended.
_SHOWN = 30
_TOLD = 14


class NightDesk:
    """Runs in the event loop."""

    def __init__(
        self,
        plans: PolicyFile[Plan],
        nights: Nights,
        menus: MenuFiles,
        images: Images,
        run: Run,
        wall: Callable[[], float] = wall,
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._plans = plans
        self._nights = nights
        self._book = nights.book
        self._menus = menus
        self._images = images
        self._run = run
        self._wall = wall

    async def all(self) -> list[dict[str, Any]]:
        """Every schedule with its last windows and the next."""
        plan = await self._run(self._plans.current)
        return [self._view(plan, name) for name in plan.schedules]

    async def one(self, name: str) -> dict[str, Any]:
        """One schedule, with how each machine's night ended."""
        plan, _ = await self._known(name)
        return self._view(plan, name) | {
            "nights": [_outcomes(each) for each in self._book.records(name)[-_TOLD:]]
        }

    async def machines(self, name: str) -> list[str]:
        """Whose nights a schedule is about."""
        return (await self._known(name))[1].machines

    async def start(self, name: str, by: str) -> dict[str, Any]:
        """Begin a window now, as long as its others, but not beyond the begin of the next."""
        async with self._nights.turn:
            return await self._start(name, by)

    async def _start(self, name: str, by: str) -> dict[str, Any]:
        plan, schedule = await self._known(name)
        now, times = self._wall(), schedule.times(plan.zone)
        if (current := self._open(name, now)) is not None:
            raise ServiceError(
                "window_open", f"{name} has a window now, until {iso(current.window.ends)}."
            )
        following = times.after(now)
        ends = now + times.length.total_seconds()
        ends = min(ends, following.begins) if following is not None else ends
        key = datetime.fromtimestamp(now, plan.zone).strftime("%Y-%m-%dT%H:%M:%S")
        window = Window(key, now, ends)
        await self._nights.open(Record(name, window, schedule.verb, by=by), now)
        return self._view(plan, name)

    async def pause(self, name: str, until: str | None) -> dict[str, Any]:
        """Order nothing until a local time or date; None: go on now."""
        plan, _ = await self._known(name)
        moment = None if until is None else _moment(until, plan)
        if moment is not None and moment <= self._wall():
            raise ServiceError("bad_request", f"until: {until} is over.")
        async with self._nights.turn:
            standing = self._standing(plan, name)
            await self._book.stand(name, dataclasses.replace(standing, paused_until=moment))
        return self._view(plan, name)

    async def skip(self, name: str) -> dict[str, Any]:
        """Order nothing more in the window that is open, or nothing in the next."""
        plan, schedule = await self._known(name)
        now, times = self._wall(), schedule.times(plan.zone)
        window = times.at(now) or times.after(now)
        if window is None:
            raise ServiceError("no_window", f"{name} has no window within a year.")
        async with self._nights.turn:
            standing = self._standing(plan, name)
            await self._book.stand(name, dataclasses.replace(standing, skipped=window.key))
        return self._view(plan, name)

    async def problems(self, plan: Plan) -> list[str]:
        """What a plan says that can't be meant as things are."""
        return await self._run(self._problems, plan)

    async def warnings(self, plan: Plan) -> list[str]:
        """What of a plan can't work yet."""
        return await self._run(self._warnings, plan)

    def _warnings(self, plan: Plan) -> list[str]:
        known = {menu.machine for menu in self._menus.all() if menu.macs}
        found = []
        for name, said in plan.schedules.items():
            if strange := sorted(set(said.machines) - known):
                found.append(
                    f"policy_schedules.{name}.machines: this server has no menu of "
                    f"{some_of(strange)} yet: run menus.yml."
                )
        return found

    def _problems(self, plan: Plan) -> list[str]:
        found = []
        for name, said in plan.schedules.items():
            if said.image is not None:
                image, _, version = said.image.partition("@")
                try:
                    self._images.resolve(image, version or None)
                except ServiceError as error:
                    found.append(f"policy_schedules.{name}.image: {error.message}")
        return found

    def lines(self, plan: Plan) -> list[str]:
        """A plan as lines to compare."""
        return [
            f"schedule {name}: {said.verb} of {machine}, {' '.join(said.days)} "
            f"{said.begin:%H:%M} to {said.end:%H:%M} ({plan.time_zone}){_told(said.options)}"
            for name, said in plan.schedules.items()
            for machine in said.machines
        ]

    async def before(self) -> list[str]:
        """The plan that there is, as lines."""
        return self.lines(await self._run(self._plans.usable))

    async def _known(self, name: str) -> tuple[Plan, Schedule]:
        plan = await self._run(self._plans.current)
        if name not in plan.schedules:
            meant = did_you_mean(name, plan.schedules)
            raise ServiceError("unknown_schedule", f"There is no schedule {name[:40]}{meant}.")
        return plan, plan.schedules[name]

    def _standing(self, plan: Plan, name: str) -> Standing:
        known = self._book.standings.get(name)
        return known or Standing(self._wall(), plan.digest(name))

    def _open(self, name: str, now: float) -> Record | None:
        for each in self._book.records(name):
            if each.open and each.window.begins <= now < each.window.ends:
                return each
        return None

    def _view(self, plan: Plan, name: str) -> dict[str, Any]:
        said, now = plan.schedules[name], self._wall()
        times, standing = said.times(plan.zone), self._book.standings.get(name)
        following, current = times.after(now), self._open(name, now)
        paused = standing.paused_until if standing is not None else None
        shown = self._book.records(name)[-_SHOWN:]
        return {
            "name": name,
            "time_zone": plan.time_zone,
            "verb": said.verb,
            "image": said.image,
            "machines": said.machines,
            "pattern": said.pattern,
            "options": said.options,
            "days": said.days,
            "from": f"{said.begin:%H:%M}",
            "to": f"{said.end:%H:%M}",
            "every_days": said.every_days,
            "alarm_days": said.alarm_days,
            "open": None if current is None else current.window.key,
            "next": None if following is None else _window(following),
            "paused_until": iso(paused) if paused is not None and paused > now else None,
            "skips": standing.skipped if standing is not None else None,
            "windows": [_record(each) for each in shown],
        }


def _told(options: dict[str, Any]) -> str:
    return "".join(f", {name} {json.dumps(value)}" for name, value in options.items())


def _moment(text: str, plan: Plan) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ServiceError(
            "bad_request", "until: must be a date or a time such as 2026-12-24T12:00."
        ) from None
    local = found if found.tzinfo is not None else found.replace(tzinfo=plan.zone)
    return local.timestamp()


def _window(window: Window) -> dict[str, Any]:
    return {"key": window.key, "begins": iso(window.begins), "ends": iso(window.ends)}


def _record(record: Record) -> dict[str, Any]:
    counts = Counter(each.outcome or _state(each.at_work) for each in record.nights.values())
    return _window(record.window) | {
        "by": record.by,
        "closed": None if record.closed_at is None else iso(record.closed_at),
        "missed": record.missed,
        "counts": dict(sorted(counts.items())),
    }


def _state(at_work: bool) -> str:
    return "at_work" if at_work else "waits"


def _outcomes(record: Record) -> dict[str, Any]:
    machines = [
        {
            "machine": each.machine,
            "outcome": each.outcome,
            "state": "ended" if each.outcome else _state(each.at_work),
            "message": each.message,
            "remedy": each.remedy,
            "tries": each.tries,
            "job": each.job,
        }
        for _, each in sorted(record.nights.items())
    ]
    return {"key": record.window.key, "machines": machines}
