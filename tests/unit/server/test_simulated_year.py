# SPDX-License-Identifier: GPL-3.0-or-later
"""A year of nights on a clock that is played: 200 machines, at random on, off, broken or in use."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from slipway_server.base.errors import ServiceError
from slipway_server.base.state_file import StateFile
from slipway_server.choices.nights import Nights
from slipway_server.choices.ordering import Wanted
from slipway_server.jobs import night_book
from slipway_server.jobs.job import Job
from slipway_server.jobs.night_book import NightBook
from slipway_server.jobs.schedule_files import plan_file
from slipway_server.jobs.schedules import OUTCOMES, SERVED

BERLIN = ZoneInfo("Europe/Berlin")
MACHINES = [f"pc{number}" for number in range(200)]
NIGHTLY: dict[str, Any] = {
    "verb": "backup",
    "machines": MACHINES,
    "from": "20:00",
    "to": "06:00",
    "at_once": 8,
    "stagger_seconds": 0,
    "attempts": 2,
}


class World:
    """Machines, what becomes of their jobs, and a clock."""

    def __init__(self, folder: Path, begin: datetime, seed: int = 1, **changes: Any) -> None:
        self.now = begin.timestamp()
        self.mono = 0.0
        self.random = random.Random(seed)
        self.made: dict[str, float] = {}
        self.jobs: dict[str, Job] = {}
        # When each job that runs ends, and how.
        self.ends: dict[str, tuple[float, str]] = {}
        self.begun: list[tuple[str, float]] = []
        self.fate: Callable[[str], str] = lambda _: "done"
        self.minutes = (10, 30)
        self.runner = 8
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.plan(**changes)
        self.start()

    def plan(self, **changes: Any) -> None:
        said = {"time_zone": "Europe/Berlin", "schedules": {"nightly": NIGHTLY | changes}}
        (self._folder / "schedules.json").write_text(json.dumps(said))

    def start(self) -> None:
        """The service starts, with what it kept."""
        self.state = StateFile(self._folder)
        self.book = NightBook(self.state)
        self.nights = Nights(
            plan_file(self._folder), self.book, self, self._run, self.wall, lambda: self.mono
        )

    def stop(self) -> None:
        self.state.close()

    @staticmethod
    async def _run(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    def wall(self) -> float:
        return self.now

    async def newest(self, machines: Sequence[str]) -> dict[str, float | None]:
        return {machine: self.made.get(machine) for machine in machines}

    async def order(self, wanted: Wanted, by: str) -> Job:
        taken = any(each.open and each.machine == wanted.machine for each in self.jobs.values())
        if taken or self.fate(wanted.machine) == "busy":
            raise ServiceError("machine_busy", f"{wanted.machine} is at work already.")
        job = Job(
            f"job{len(self.jobs)}",
            wanted.machine,
            (),
            wanted.verb,
            wanted.machine,
            self.now,
            by=by,
            not_after=wanted.not_after,
        )
        self.jobs[job.id] = job
        return job

    def job(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    def has_arrived(self, job: Job) -> bool:
        return self.ends.get(job.id, (0.0, "no_answer"))[1] not in ("no_answer", "was_on")

    async def is_degraded(self, job: Job) -> bool:
        return self.ends[job.id][1] == "degraded"

    async def cancel(self, job: Job, why: str) -> None:
        self._end(job, "cancelled", why)

    def _end(self, job: Job, outcome: str, message: str = "") -> None:
        if job.open:
            self.jobs[job.id] = dataclasses.replace(
                job, state="ended", outcome=outcome, message=message, ended_at=self.now
            )

    def play(self) -> None:
        """What the job runner does."""
        running = [each for each in self.jobs.values() if each.state == "running"]
        for job in running:
            at, fate = self.ends[job.id]
            if self.now >= at:
                if fate == "done":
                    self.made[job.machine] = self.now
                lost = {"no_answer": "abandoned", "degraded": "done"}
                self._end(job, lost.get(fate, fate), fate)
        running = [each for each in running if self.jobs[each.id].open]
        queued = [each for each in self.jobs.values() if each.state == "queued"]
        for job in queued[: self.runner - len(running)]:
            if job.not_after is not None and self.now < job.not_after:
                self.jobs[job.id] = dataclasses.replace(job, state="running", started_at=self.now)
                self.begun.append((job.machine, self.now))
                took = self.random.uniform(*self.minutes) * 60
                self.ends[job.id] = (self.now + took, self.fate(job.machine))

    def forget(self) -> None:
        """Jobs that ended are forgotten after a while."""
        self.jobs = {key: each for key, each in self.jobs.items() if each.open}

    def go(self, until: datetime, step: float = 300.0) -> None:
        """Play on."""

        async def rounds() -> None:
            while self.now < until.timestamp():
                self.play()
                await self.nights.look()
                self.now += step
                self.mono += step

        asyncio.run(rounds())

    def outcomes(self, key: str) -> dict[str, str | None]:
        record = self.book.get("nightly", key)
        assert record is not None
        return {name: each.outcome for name, each in record.nights.items()}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Worlds whose state is closed in the end."""
    made: list[World] = []

    def world(begin: datetime, **changes: Any) -> World:
        made.append(World(tmp_path / str(len(made)), begin, **changes))
        return made[-1]

    yield world
    for each in made:
        each.stop()


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)  # type: ignore[misc,arg-type]


@pytest.mark.plays
@pytest.mark.parametrize(
    ("begin", "end", "nights"),
    [
        (berlin(2026, 3, 16, 12), berlin(2026, 4, 6, 12), 15),
        # Without the last days: as many working days as windows, clock changes or not.
        (berlin(2026, 1, 1, 12), berlin(2027, 1, 1, 12), 255),
        (berlin(2026, 12, 14, 12), berlin(2027, 1, 4, 12), 8),
    ],
    ids=["summer time begins", "a year", "holidays"],
)
def test_a_year(
    make: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    begin: datetime,
    end: datetime,
    nights: int,
) -> None:
    monkeypatch.setattr(night_book, "KEPT", 400)
    # Eight at once for ten hours, about 20 minutes each: 240, so a night may not serve everybody.
    world = make(
        begin,
        days=["mon", "tue", "wed", "thu", "fri"],
        **{"except": ["2026-12-24..2027-01-06"]},
    )
    fates = ("done", "no_answer", "failed", "was_on", "busy", "postponed", "degraded")
    world.fate = lambda _: world.random.choices(fates, (75, 8, 5, 5, 3, 2, 2))[0]
    day = begin
    waited: dict[str, int] = dict.fromkeys(MACHINES, 0)
    longest, windows, seen = 0, 0, Counter[str]()
    while day < end:
        before = dict(world.made)
        begun = len(world.begun)
        world.go(day + timedelta(days=1), 900.0)
        key, open_day = day.date().isoformat(), day.weekday() < 5
        if not open_day or key >= "2026-12-24":
            assert world.book.get("nightly", key) is None
            assert len(world.begun) == begun
        else:
            windows += 1
            record = world.book.get("nightly", key)
            assert record is not None and not record.open and not record.missed
            first, last = record.window.begins, record.window.ends
            opened = datetime.fromtimestamp(first, BERLIN).strftime("%d %H:%M")
            assert opened == day.strftime("%d 20:00")
            assert datetime.fromtimestamp(last, BERLIN).strftime("%H:%M") == "06:00"
            # Who was due, and nobody else, has one outcome.
            due = {each for each in MACHINES if before.get(each, 0.0) < first}
            assert set(record.nights) == due
            assert all(each.outcome in OUTCOMES for each in record.nights.values())
            assert all(each.tries <= 2 for each in record.nights.values())
            for each in record.nights.values():
                assert (each.outcome == "done") == (world.made.get(each.machine, 0.0) >= first)
            assert all(first <= at < last for _, at in world.begun[begun:])
            seen.update(str(each.outcome) for each in record.nights.values())
            # Oldest first: nobody is tried before one with an older version that got no turn.
            tried = {machine for machine, _ in world.begun[begun:]}
            newest_tried = max(before.get(each, 0.0) for each in tried)
            for night in record.nights.values():
                if night.outcome == "not_reached" and not night.tries:
                    assert before.get(night.machine, 0.0) >= newest_tried
                    waited[night.machine] += 1
                    longest = max(longest, waited[night.machine])
                else:
                    waited[night.machine] = 0
        assert not any(each.open for each in world.jobs.values()), "at noon nothing is at work"
        world.forget()
        day += timedelta(days=1)
    assert windows == nights
    assert seen["done"] > 40 * nights and set(seen) >= {
        "no_answer",
        "failed",
        "was_on",
        "not_reached",
    }
    # There is room for about half of them each night, less what fails: nobody waits for a third.
    assert 1 <= longest <= 2


def test_a_window_that_is_too_short_serves_everybody_in_turn(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), to="22:00")
    for _ in range(30):
        world.go(datetime.fromtimestamp(world.now, UTC) + timedelta(days=1))
    counts = Counter(machine for machine, _ in world.begun)
    assert set(counts) == set(MACHINES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_at_most_so_many_at_once_and_one_after_the_other(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 19, 59), at_once=4, stagger_seconds=60)
    most = 0
    for _ in range(120):
        world.go(datetime.fromtimestamp(world.now, UTC) + timedelta(seconds=10), 10.0)
        most = max(most, sum(each.open for each in world.jobs.values()))
    assert most == 4
    created = sorted(each.created for each in world.jobs.values())
    assert created[1] - created[0] >= 60
    assert created[0] == berlin(2026, 6, 1, 20).timestamp()


def test_every_other_day_and_a_version_that_somebody_made(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0", "pc1"], every_days=2)
    world.made["pc1"] = berlin(2026, 5, 31, 21).timestamp()
    world.go(berlin(2026, 6, 7, 12))
    found = {each.window.key: set(each.nights) for each in world.book.records("nightly")}
    assert [key[-2:] for key in found if "pc0" in found[key]] == ["01", "03", "05"]
    assert [key[-2:] for key in found if "pc1" in found[key]] == ["02", "04", "06"]


def test_who_is_saved_by_somebody_else_in_the_window_is_done(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0"])
    world.fate = lambda _: "busy"
    world.go(berlin(2026, 6, 1, 22))
    world.made["pc0"] = world.now
    world.go(berlin(2026, 6, 2, 7))
    assert world.outcomes("2026-06-01") == {"pc0": "done"}
    assert world.begun == []


@pytest.mark.parametrize(
    ("fate", "if_on", "outcome", "jobs"),
    [
        ("failed", "skip", "failed", 2),
        ("no_answer", "skip", "no_answer", 2),
        ("was_on", "skip", "was_on", 1),
        ("was_on", "wait", "was_on", None),
        ("busy", "wait", "busy", 0),
        ("postponed", "skip", "postponed", 1),
        ("degraded", "skip", "degraded", 1),
        ("cancelled", "skip", "cancelled", 1),
    ],
)
def test_each_end_has_its_outcome(
    make: Callable[..., World], fate: str, if_on: str, outcome: str, jobs: int | None
) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0"], if_on=if_on)
    world.fate = lambda _: fate
    world.go(berlin(2026, 6, 2, 7))
    assert world.outcomes("2026-06-01") == {"pc0": outcome}
    # Looked at again until the window ends, a quarter of an hour after the look before.
    assert len(world.begun) == jobs or (jobs is None and 10 < len(world.begun) < 30)


def test_a_pc_that_goes_off_late_is_still_saved(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0"], if_on="wait")
    late = berlin(2026, 6, 1, 23).timestamp()
    world.fate = lambda _: "done" if world.now > late else "was_on"
    world.go(berlin(2026, 6, 2, 7))
    assert world.outcomes("2026-06-01") == {"pc0": "done"}


def test_what_has_begun_is_finished_and_what_waits_is_not_begun(
    make: Callable[..., World],
) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=MACHINES[:6], at_once=6, to="20:30")
    world.runner, world.minutes = 3, (60, 60)
    world.fate = lambda name: "no_answer" if name == "pc0" else "done"
    world.go(berlin(2026, 6, 2, 7))
    said = Counter(world.outcomes("2026-06-01").values())
    assert said == {"done": 2, "no_answer": 1, "not_reached": 3}
    record = world.book.get("nightly", "2026-06-01")
    assert record is not None and record.closed_at is not None
    assert record.closed_at >= berlin(2026, 6, 1, 21).timestamp()


@pytest.mark.parametrize(
    ("down", "up", "missed", "outcome"),
    [
        ((1, 18), (1, 22), [], "done"),
        ((1, 21), (1, 23), [], "done"),
        ((1, 21), (2, 9), [], "not_reached"),
        ((1, 18), (2, 9), ["2026-06-01"], "not_reached"),
        ((1, 18), (4, 9), ["2026-06-01", "2026-06-02", "2026-06-03"], "not_reached"),
    ],
)
def test_a_server_that_was_down(
    make: Callable[..., World],
    down: tuple[int, int],
    up: tuple[int, int],
    missed: list[str],
    outcome: str,
) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0"])
    world.fate = lambda _: "busy" if world.now < berlin(2026, 6, 1, 21, 30).timestamp() else "done"
    world.go(berlin(2026, 6, *down))
    world.stop()
    world.now = berlin(2026, 6, *up).timestamp()
    world.start()
    world.go(berlin(2026, 6, *up) + timedelta(hours=10))
    records = world.book.records("nightly")
    assert [each.window.key for each in records if each.missed] == missed
    # Who waited for a machine that was busy when the server went down says that.
    said = world.outcomes("2026-06-01")["pc0"]
    assert said == ("busy" if down == (1, 21) and up == (2, 9) else outcome)
    assert all(each.missed or each.window.begins <= at for each in records for _, at in world.begun)
    assert bool(missed) == any("was down" in text for text in world.nights.warnings())


def test_a_clock_that_steps_a_day_forth_and_back(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=MACHINES[:50], at_once=2)
    world.go(berlin(2026, 6, 1, 21))
    for days in (1, -1):
        world.now += days * 86400
        world.go(datetime.fromtimestamp(world.now, UTC) + timedelta(minutes=30))
    world.made = {name: at for name, at in world.made.items() if at < world.now}
    world.go(berlin(2026, 6, 4, 12))
    for key in ("2026-06-01", "2026-06-02", "2026-06-03"):
        record = world.book.get("nightly", key)
        assert record is not None and not record.open and not record.missed
        assert all(each.outcome in OUTCOMES for each in record.nights.values())
        assert len(record.nights) == 50
        assert sum(each.outcome in SERVED for each in record.nights.values()) > 30, key


def test_a_machine_that_leaves_the_plan_and_a_plan_that_ends(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0", "pc1"], at_once=1)
    world.minutes = (120, 120)
    world.go(berlin(2026, 6, 1, 20, 30))
    world.plan(machines=["pc0"], at_once=1)
    world.go(berlin(2026, 6, 2, 7))
    assert world.outcomes("2026-06-01") == {"pc0": "done", "pc1": "not_reached"}
    world.go(berlin(2026, 6, 2, 20, 30))
    folder = world._folder / "schedules.json"
    folder.write_text('{"time_zone": "Europe/Berlin", "schedules": {}}')
    world.go(berlin(2026, 6, 3, 7))
    assert world.outcomes("2026-06-02") == {"pc0": "done"}, "what works goes on"
    assert world.book.standings == {}


def test_a_plan_that_can_not_be_read_orders_nothing(make: Callable[..., World]) -> None:
    world = make(berlin(2026, 6, 1, 12), machines=["pc0", "pc1"], at_once=1)
    world.go(berlin(2026, 6, 1, 20, 5))
    (world._folder / "schedules.json").write_text("{")
    world.go(berlin(2026, 6, 2, 7))
    assert world.outcomes("2026-06-01") == {"pc0": "done", "pc1": "not_reached"}
    assert any("can't be used" in text for text in world.nights.warnings())
