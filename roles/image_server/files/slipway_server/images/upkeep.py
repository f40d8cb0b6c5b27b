# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's own clockwork: prune, empty the trash, collect, read; what each did last."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from ..base.config import Config
from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile
from ..base.rows import Rows
from ..base.state_file import StateFile
from ..base.threads import Run
from ..base.times import iso
from .collector import Collector, Stopped
from .policy import Policy
from .promises import Promises
from .pruner import Plan, Pruner
from .scrubber import Scrubber

log = logging.getLogger(__name__)

PRUNE, COLLECTION, SCRUB = "prune", "collection", "scrub"
REPLICATION = "replication"
_PROMISES = "promises"
_BEGUN = "begun/"
_DAY = 86400.0
_HOUR = 3600.0
_T = TypeVar("_T")


class Traffic:
    """What goes on between machines and the store, as `Upkeep` wants to know it."""

    def __init__(
        self, begins: Callable[[], dict[str, float]], readers: Callable[[], list[str]]
    ) -> None:
        """``begins``: of each open backup, by its id; ``readers``: restores, in words."""
        self.begins = begins
        self.readers = readers

    def reads(self) -> bool:
        """Whether anything is fetched."""
        return bool(self.readers())

    def is_busy(self) -> bool:
        """Whether anything is sent or fetched."""
        return self.reads() or bool(self.begins())


class Records:
    """What each work did last: in memory, and on disk before any answer.

    On a full disk in memory alone: prune and collection are what makes room, and what they did is
    done.
    """

    def __init__(self, rows: Rows) -> None:
        """Load them."""
        self._rows = rows
        self._known = rows.load()
        # When a work was begun that an earlier process did not end, in seconds since the epoch.
        self.cut_off: dict[str, float] = {
            key.removeprefix(_BEGUN): body["at"]
            for key, body in self._known.items()
            if key.startswith(_BEGUN)
        }

    async def begin(self, work: str) -> None:
        """Note that a work was begun, so that its outcome is missed if there is none."""
        try:
            await self._rows.put(f"{_BEGUN}{work}", {"at": time.time()})
        except sqlite3.Error as error:
            log.warning("not noted that a %s begins: %s", work, error)

    def of(self, work: str) -> dict[str, Any] | None:
        """The last outcome of a work, with its time."""
        return self._known.get(work)

    def done_at(self, work: str) -> float | None:
        """When a work was last done to its end, in seconds since the epoch."""
        found = self.of(work)
        return None if found is None else found["done_at"]

    async def put(self, work: str, problem: str | None, **outcome: Any) -> dict[str, Any]:
        """Keep an outcome. With a problem the work was not done, unless ``done_at`` says so."""
        now = time.time()
        done_at = now if problem is None else self.done_at(work)
        body = {"at": now, "done_at": done_at, "problem": problem} | outcome
        self._known[work] = body
        self.cut_off.pop(work, None)
        try:
            await self._rows.put(work, body, drop=[f"{_BEGUN}{work}"])
        except sqlite3.Error as error:
            log.warning("not noted how a %s went: %s", work, error)
        return body


def keep_promises(
    state: StateFile, rows: Rows, promises: Promises, begins: Iterable[float]
) -> None:
    """Let promises outlast the process: what an open backup was told, the next one keeps."""
    noted = rows.load().get(_PROMISES, {}).get("lowest")

    def note(lowest_ns: int | None) -> None:
        state.write_now(rows.change(_PROMISES, {"lowest": lowest_ns}))

    promises.remember(noted, note)
    for begin in begins:
        promises.begins(begin)


class Upkeep:
    """Made inside the running event loop."""

    def __init__(
        self,
        config: Config,
        records: Records,
        policy: PolicyFile[Policy],
        pruner: Pruner,
        collector: Collector,
        scrubber: Scrubber,
        promises: Promises,
        traffic: Traffic,
        run: Run,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """``run`` does blocking work that is short in a thread; ``spawn`` waits for nothing."""
        self._config = config
        self.records = records
        self._policy = policy
        self._pruner = pruner
        self._collector = collector
        self._scrubber = scrubber
        self._promises = promises
        self._traffic = traffic
        self._run = run
        self._spawn = spawn
        self._under_way: set[str] = set()
        # The open backups that may have been promised something before the clock was set back: at
        # first all of them, for nobody knows what an earlier process has seen.
        self._relying, self._seen_set_back = set[str](), -1

    def stop(self) -> None:
        """End what is under way."""
        self._collector.stop()
        self._scrubber.stop()

    async def look_after(self) -> None:
        """Do what is due."""
        if self._is_due(PRUNE):
            await self._quietly(PRUNE, lambda: self.prune(None))
        if self._is_due(COLLECTION):
            await self._quietly(COLLECTION, self.collect)
        await self._quietly(SCRUB, self._read_a_share)

    async def after_window(self) -> None:
        """A night has made new versions: those that they take the place of go now."""
        if self._config.upkeep_seconds:
            await self._quietly(PRUNE, lambda: self.prune(None))

    def _is_due(self, work: str) -> bool:
        last, every = self.records.done_at(work), self._config.upkeep_seconds
        # One of a time to come was noted by a clock that was wrong.
        return every > 0 and (last is None or not 0 <= time.time() - last < every)

    async def _quietly(self, work: str, doing: Callable[[], Awaitable[object]]) -> None:
        try:
            await doing()
        except (ServiceError, Stopped) as error:
            log.warning("%s: %s", work, error)
        except Exception:
            # A full or failing disk: the next hour tries again.
            log.exception("%s failed", work)

    def _take(self, work: str) -> None:
        if work in self._under_way:
            readers = ", ".join(self.waits_for()) if work == SCRUB else ""
            waits = f", and waits for: {readers}" if readers else ""
            raise ServiceError("already_runs", f"The {work} is under way{waits}.")
        self._under_way.add(work)

    async def _taken(self, work: str, doing: Awaitable[_T]) -> _T:
        try:
            return await doing
        finally:
            self._under_way.discard(work)

    def is_under_way(self, work: str) -> bool:
        """Whether a work is being done now."""
        return work in self._under_way

    async def prune(self, confirm: str | None) -> tuple[Plan, list[str]]:
        """Move to the trash what no rule keeps, and empty the trash of what is old."""
        try:
            emptied = await self._pruner.empty_trash(time.time())
            plan, gone = await self._pruner.prune(confirm)
        except ServiceError as error:
            # A plan that waits, or a policy that can't be used, is told of until it is seen to.
            await self.records.put(PRUNE, error.message, waits=error.details.get("digest"))
            raise
        await self.records.put(PRUNE, None, removed=gone, emptied=emptied)
        return plan, gone

    async def collect(self) -> dict[str, Any]:
        """Free what nobody names."""
        self._take(COLLECTION)
        return await self._taken(COLLECTION, self._collect())

    def begin_collect(self) -> None:
        """Begin to free what nobody names; its outcome is among the records."""
        self._take(COLLECTION)
        collecting = self._taken(COLLECTION, self._collect())
        self._spawn(self._quietly(COLLECTION, lambda: collecting))

    def progress(self) -> dict[str, Any] | None:
        """How far the collection under way is; None: there is none."""
        return self._collector.progress() if self.is_under_way(COLLECTION) else None

    async def _collect(self) -> dict[str, Any]:
        await self.records.begin(COLLECTION)
        begins, now = self._traffic.begins(), time.time()
        self._let_go(set(begins))
        cutoff = cutoff_of(
            now,
            begins.values(),
            self._config.collect_after_seconds,
            self._config.collect_margin_seconds,
        )
        try:
            outcome = await asyncio.to_thread(
                self._collector.collect, cutoff, self._traffic.is_busy
            )
        except ServiceError as error:
            log.error("%s", error.message)
            await self.records.put(COLLECTION, error.message)
            raise
        except (OSError, sqlite3.Error) as error:
            await self.records.put(COLLECTION, f"It failed: {error}.")
            raise
        return await self.records.put(COLLECTION, None, **outcome)

    def _let_go(self, open_now: set[str]) -> None:
        """Forget that the clock was set back once nobody is left who was promised anything then."""
        set_back = self._promises.set_back
        self._relying = open_now if set_back != self._seen_set_back else self._relying & open_now
        self._seen_set_back = set_back
        if not self._relying:
            self._promises.begin_anew(set_back)

    def begin_scrub(self, older_than_days: float) -> list[str]:
        """Begin to read what was not read for so many days; return what is waited for first."""
        before = time.time() - older_than_days * _DAY
        self._take(SCRUB)
        reading = self._taken(SCRUB, self._scrub(before, None, rests=False))
        self._spawn(self._quietly(SCRUB, lambda: reading))
        return self.waits_for()

    def bad_chunks(self) -> list[str] | None:
        """Those that were not healed; None: their versions are being looked for."""
        return None if self.is_under_way(SCRUB) else self._scrubber.bad()

    def waits_for(self) -> list[str]:
        """What has to end before a scrub goes on, in words."""
        return self._traffic.readers() if self.is_under_way(SCRUB) else []

    async def _read_a_share(self) -> None:
        if not self._config.upkeep_seconds:
            return
        days = (await self._run(self._policy.current)).check_days
        most = await self._run(self._scrubber.share, 1.0, days)
        before = time.time() - days * _DAY / 2
        if SCRUB not in self._under_way and await self._run(self._scrubber.is_due, before):
            self._take(SCRUB)
            await self._taken(SCRUB, self._scrub(before, most, rests=True))

    async def _scrub(self, before: float, most: int | None, rests: bool) -> dict[str, Any]:
        try:
            outcome = await asyncio.to_thread(
                self._scrubber.scrub, before, most, rests, self._traffic.reads
            )
        except OSError as error:
            await self.records.put(SCRUB, f"the store can't be read: {error}")
            raise
        problem = f"{outcome['bad_count']} chunks are bad" if outcome["bad_count"] else None
        return await self.records.put(SCRUB, problem, done_at=time.time(), **outcome)

    async def note_replication(self, sites: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep how pulling from each site went last."""
        problems = [f"{name}: {each['problem']}" for name, each in sites.items() if each["problem"]]
        await self.records.put(REPLICATION, "; ".join(problems) or None, sites=dict(sites))

    def warnings(self) -> list[str]:
        """What somebody should see to. Blocks."""
        broken = self._policy.problem()
        found = [] if broken is None else [broken]
        for work in (PRUNE, COLLECTION, SCRUB, REPLICATION):
            record = self.records.of(work)
            if record is not None and record["problem"]:
                found.append(f"{work}, {iso(record['at'])}: {record['problem']}")
        return found


def cutoff_of(now: float, begins: Iterable[float], after: float, margin: float) -> float:
    """What was promised since is promised still: a day, and since the oldest open backup began.

    The lowest time that a clock which was set back has given is `Promises`' matter.
    """
    return min([now - after, *begins]) - margin
