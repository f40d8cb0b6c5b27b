# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are to be told of: how windows went, and what somebody should see to.

Each subject of a kind is told once, and again only after it was well in between. What is new at
one look is one event, so that a room that fails is one mail.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from ..base.errors import ServiceError
from ..base.outbox import Event, Outbox
from ..base.policy_files import PolicyFile
from ..base.threads import Run
from ..base.times import iso, wall
from ..images.store import Room
from ..images.upkeep import COLLECTION, PRUNE, REPLICATION, SCRUB, Records
from ..jobs.digests import digest
from ..jobs.job import plain
from ..jobs.jobs import Jobs
from ..jobs.night_book import NightBook
from ..jobs.schedule_files import Plan
from ..registrations.registrations import Registrations
from ..sessions.sessions import Sessions
from .guesses import Guesses

_DAY = 86400.0
_WINDOWS, _STALE, _JOBS, _LOW = "window_done", "stale", "job_failed", "store_low"
_BROKEN = "check_broken"
GUESSED = "login_paused"
# The ages of backups are looked at once in so many looks, and after each window.
_STALE_LOOKS = 12
# Room for so many backups as the reserve holds, or that part of all.
_LOW_PART = 20
_MOST_LINES = 100
# What one is called, and what several are.
_TITLES = {
    _STALE: ("1 machine has no new backup", "{} machines have no new backup"),
    _JOBS: ("1 job failed", "{} jobs failed"),
    _BROKEN: ("the store is damaged", "the store is damaged"),
    "collection_stopped": ("nothing is freed any more", "nothing is freed any more"),
    "replication_failed": (
        "versions of 1 other site did not come",
        "versions of {} other sites did not come",
    ),
    "prune_waits": ("a prune waits for a word", "a prune waits for a word"),
    _LOW: ("the store is nearly full", "the store is nearly full"),
    "registration_waits": ("1 PC waits to be registered", "{} PCs wait to be registered"),
    GUESSED: ("somebody guesses passwords", "somebody guesses passwords"),
    "second_check_in": ("somebody posed as 1 PC", "somebody posed as {} PCs"),
}
# Of what was before anybody looked, nobody is told.
_PAST = (_WINDOWS, _JOBS, "second_check_in")

Newest = Callable[[Sequence[str]], Awaitable[dict[str, float | None]]]


class Telling:
    """Runs in the event loop."""

    def __init__(
        self,
        outbox: Outbox,
        book: NightBook,
        plans: PolicyFile[Plan],
        newest: Newest,
        records: Records,
        jobs: Jobs,
        sessions: Sessions,
        registrations: Registrations,
        guesses: Guesses,
        bad: Callable[[], Iterable[str] | None],
        room: Callable[[], Room],
        reserve: int,
        every: float,
        run: Run,
        wall: Callable[[], float] = wall,
    ) -> None:
        """Everything is looked at ``every`` so many seconds.

        ``newest`` says when machines' good versions were made, ``bad`` which chunks are (None: not
        just now), ``reserve`` how many bytes of the ``room`` are kept free.
        """
        self._outbox = outbox
        self._book = book
        self._plans = plans
        self._newest = newest
        self._records = records
        self._jobs = jobs
        self._sessions = sessions
        self._registrations = registrations
        self._guesses = guesses
        self._bad = bad
        self._room = room
        self._reserve = reserve
        self._every = every
        self._run = run
        self._wall = wall
        self._next_look = 0.0
        self._looks_to_stale = 0

    async def look(self) -> None:
        """Tell what is new."""
        if await self._tell_of_windows():
            self._looks_to_stale = 0
            self._next_look = 0.0
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._every
        found = {**self._of_upkeep(), **self._of_machines(), _LOW: await self._low()}
        found[GUESSED] = self._guesses.slowed()
        if self._looks_to_stale == 0:
            self._looks_to_stale = _STALE_LOOKS
            if (stale := await self._stale()) is not None:
                found[_STALE] = stale
        self._looks_to_stale -= 1
        for kind, subjects in found.items():
            await self._tell(kind, subjects)

    async def _tell_of_windows(self) -> bool:
        """Whether there was anything to tell."""
        records = {
            each.key: each
            for name in self._book.names()
            for each in self._book.records(name)
            if not each.open
        }
        known = self._outbox.known(_WINDOWS)
        if known == set(records):
            return False
        new = [] if known is None else [each for key, each in records.items() if key not in known]
        new.sort(key=lambda each: each.window.begins)
        await self._outbox.tell(_WINDOWS, records, map(digest, new))
        return bool(new)

    async def _tell(self, kind: str, subjects: Mapping[str, str]) -> None:
        known = self._outbox.known(kind)
        if known == set(subjects):
            return
        if known is None and kind in _PAST:
            known = set(subjects)
        lines = [text for key, text in subjects.items() if key not in (known or ())]
        events = []
        if lines:
            one, many = _TITLES[kind]
            title = one if len(lines) == 1 else many.format(len(lines))
            said = lines[:_MOST_LINES] + self._more(kind)[:_MOST_LINES]
            shown = [plain(each) for each in said]
            events.append(Event(kind, title, tuple(shown)))
        await self._outbox.tell(kind, subjects, events)

    def _of_upkeep(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {"collection_stopped": {}, "prune_waits": {}}
        for kind, work in zip(found, (COLLECTION, PRUNE), strict=True):
            record = self._records.of(work)
            if record is not None and record["problem"]:
                # A plan that waits is another one when its digest is.
                subject = record.get("waits") or record["problem"]
                found[kind][subject] = f"{iso(record['at'])}: {record['problem']}"
        if (bad := self._bad()) is not None:
            # However many sound ones are read meanwhile, these are bad until they are healed.
            found[_BROKEN] = {each: f"chunk {each[:16]} is bad" for each in bad}
        pulled = (self._records.of(REPLICATION) or {}).get("sites", {})
        found["replication_failed"] = {
            name: f"{name}: {each['problem']}" for name, each in pulled.items() if each["problem"]
        }
        return found

    def _more(self, kind: str) -> list[str]:
        """What is said beside the subjects of a kind."""
        broken = (self._records.of(SCRUB) or {}).get("broken", []) if kind == _BROKEN else []
        return [f"{each} names a bad chunk: its next backup heals it" for each in broken]

    def _of_machines(self) -> dict[str, dict[str, str]]:
        failed = {
            each.id: f"{each.verb} of {each.machine}: {each.message} {each.remedy}"
            for each in self._jobs.all()
            if each.outcome in ("failed", "abandoned") and not each.planned
        }
        posed = {
            each.id: f"{each.machine}, from {each.refused_from}: a check-in was refused, since the "
            "PC's own was there before"
            for each in self._sessions.all()
            if each.refused_checkins
        }
        # What such a PC says of itself is not to be believed; register.yml shows it.
        waiting = {
            each.id: f"{each.macs[0]}: see register.yml"
            for each in self._registrations.all()
            if each.state == "waiting"
        }
        return {_JOBS: failed, "second_check_in": posed, "registration_waits": waiting}

    async def _low(self) -> dict[str, str]:
        room = await self._run(self._room)
        least = max(2 * self._reserve, room.total // _LOW_PART)
        if self._outbox.known(_LOW):
            # It is well once there is somewhat more.
            least += least // 5
        if room.free >= least:
            return {}
        return {"store": f"{room.free >> 20} of {room.total >> 20} MiB are free"}

    async def _stale(self) -> dict[str, str] | None:
        """Machines whose newest good version is too old; None: nobody can say now."""
        try:
            plan = await self._run(self._plans.current)
        except ServiceError:
            return None
        found, now = {}, self._wall()
        for name, schedule in plan.schedules.items():
            standing = self._book.standings.get(name)
            if schedule.verb != "backup" or standing is None:
                continue
            oldest = now - schedule.alarm_days * _DAY
            newest = await self._newest(schedule.machines)
            for machine, made in newest.items():
                # One that never was saved is too old once there was time for it.
                if (standing.since if made is None else made) < oldest:
                    age = "has no good version" if made is None else f"{_days(now - made)} old"
                    found[machine] = f"{machine}: {age}, wanted is {schedule.alarm_days} days"
        return found


def _days(seconds: float) -> str:
    return f"newest good version is {int(seconds // _DAY)} days"
