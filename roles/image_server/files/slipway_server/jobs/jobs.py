# SPDX-License-Identifier: GPL-3.0-or-later
"""All jobs: in memory for speed, on disk before any answer that depends on it.

Everything here runs in the event loop, so a change of the dictionary is never half-seen. The queue
needs no lock and no second place: it is the jobs that are queued, those of people first, oldest
first.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any

from ..base import tokens
from ..base.errors import ServiceError
from ..base.records import Records, ended
from ..base.state_file import Change
from ..base.times import iso
from . import job as rules
from .job import Job

_PRIVATE = {"nonce_hash", "token_hash", "host_key", "runner"}
_TIMES = ("created", "not_after", "started_at", "ended_at")


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a job may take at each step, in seconds, and how many ended ones are kept."""

    silent: float
    runner_silent: float
    queued: float
    running: float
    keep: int


class Jobs:
    """The jobs of this image server."""

    def __init__(
        self, db: Records[Job], limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Load every job; those that are open get their time anew from now on."""
        self._db = db
        self._limits = limits
        self._clock = clock
        self._jobs: dict[str, Job] = {item.id: item for item in db.load()}
        self._by_token = {item.token_hash: item.id for item in self._jobs.values()}
        now = clock()
        self._heard = {item.id: now for item in self.open_jobs()}
        self._since = dict(self._heard)
        self._runner_heard = now
        self._runner_was_here = False
        self._news = asyncio.Event()

    def all(self) -> list[Job]:
        """Every job that is kept, oldest first: in the order in which they came.

        Not by the clock, which may be set back: then who came last would be served first.
        """
        return list(self._jobs.values())

    def open_jobs(self) -> list[Job]:
        """Those that have not ended, oldest first."""
        return [item for item in self.all() if item.open]

    def get(self, job_id: str) -> Job:
        """One job by its id."""
        found = self._jobs.get(job_id)
        if found is None:
            raise ServiceError("no_such_job", "There is no such job.")
        return found

    def of_machine(self, machine: str) -> Job | None:
        """The open job of a machine."""
        return next((item for item in self.open_jobs() if item.machine == machine), None)

    def place(self, job_id: str) -> int:
        """How many are served before it, itself counted; 0 once it is running."""
        found = self._jobs.get(job_id)
        if found is None or found.state != "queued":
            return 0
        return [item.id for item in self._queue()].index(job_id) + 1

    def _queue(self) -> list[Job]:
        """Those that wait for the runner, in the order in which they are served."""
        queued = [item for item in self.open_jobs() if item.state == "queued"]
        return sorted(queued, key=lambda item: item.planned)

    def view(self, item: Job) -> dict[str, Any]:
        """A job as the administrator and the runner see it: no secret, times in ISO form."""
        known = dataclasses.asdict(item)
        shown = {key: value for key, value in known.items() if key not in _PRIVATE}
        shown["macs"] = list(item.macs)
        for key in _TIMES:
            shown[key] = None if shown[key] is None else iso(shown[key])
        return shown | {"place": self.place(item.id)}

    @property
    def runner_is_there(self) -> bool:
        """Whether the job runner has asked for work lately."""
        lately = self._clock() - self._runner_heard <= self._limits.runner_silent
        return self._runner_was_here and lately

    async def create(self, wanted: Job) -> tuple[Job, str]:
        """Add a job that has no token yet; return it with the token, which is kept nowhere."""
        return await self._grant(dataclasses.replace(wanted, id=secrets.token_hex(8)))

    async def order(self, wanted: Job) -> Job:
        """Add a job whose machine has nothing to ask: nobody gets a token."""
        item = dataclasses.replace(wanted, id=secrets.token_hex(8))
        self._since[item.id] = self._clock()
        await self._commit(item)
        return item

    async def renew(self, item: Job) -> tuple[Job, str]:
        """A new token for a machine that lost the answer; the one before dies."""
        self._by_token.pop(item.token_hash, None)
        return await self._grant(item)

    async def _grant(self, item: Job) -> tuple[Job, str]:
        token = tokens.new_token()
        item = dataclasses.replace(item, token_hash=tokens.digest_of(token))
        self._by_token[item.token_hash] = item.id
        self._heard[item.id] = self._clock()
        self._since.setdefault(item.id, self._clock())
        await self._commit(item)
        return item, token

    def authenticate(self, token: str) -> Job:
        """The job that a token belongs to, its machine noted as heard of just now."""
        found = self._jobs.get(self._by_token.get(tokens.digest_of(token), ""))
        if found is None or not tokens.matches(token, found.token_hash):
            raise ServiceError(
                "bad_token", "The token is not valid on this server.", "Choose the item again."
            )
        self._heard[found.id] = self._clock()
        return found

    async def poll(
        self, runner: str, holds: Collection[str], free: int, wait: float
    ) -> tuple[list[Job], list[str], list[Job]]:
        """What a runner shall begin, what it shall stop, and what ended since it was restarted.

        ``holds`` are the jobs that it has. A running job that it doesn't have was given in an
        answer that got lost, unless another run of the runner had it: that one's playbook died.
        """
        self._runner_heard, self._runner_was_here = self._clock(), True
        lost = []
        for job_id in [item.id for item in self.open_jobs()]:
            # As it is now: while the one before was saved, a machine may have got a new token.
            item = self._jobs[job_id]
            if item.state != "running" or item.id in holds:
                continue
            if item.runner == runner and item.session is None:
                self._since[item.id] = self._clock()
                await self._commit(rules.requeue(item))
            else:
                lost.append(item)
        deadline = self._clock() + wait
        while True:
            stop = [each for each in holds if each not in self._jobs or not self._jobs[each].open]
            given = await self._give(runner, free)
            left = deadline - self._clock()
            if given or stop or lost or left <= 0:
                return given, stop, lost
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                deadline = 0.0

    async def _give(self, runner: str, free: int) -> list[Job]:
        now = time.time()
        ready = [each for each in self._queue() if each.not_after is None or now < each.not_after]
        given = [rules.start(item, runner, now) for item in ready[:free]]
        for item in given:
            self._since[item.id] = self._clock()
            self._jobs[item.id] = item
        await self._db.save(*given)
        return given

    def change_to_open(self, job_id: str, session_id: str) -> Change:
        """What noting the session that the job's playbook opens is on disk."""
        return self._db.change(dataclasses.replace(self.get(job_id), session=session_id))

    async def opened_session(self, item: Job, session_id: str) -> None:
        """Note the session that the job's playbook opened."""
        await self._commit(dataclasses.replace(self.get(item.id), session=session_id))

    def change_to_end(self, job_id: str, outcome: str, message: str, remedy: str) -> Change:
        """What ending it now is on disk, for a transaction with others."""
        ended = rules.end(self.get(job_id), outcome, message, remedy, time.time())
        return self._db.change(ended)

    async def end(self, job_id: str, outcome: str, message: str = "", remedy: str = "") -> Job:
        """End a job. Ending an ended one changes nothing."""
        before = self.get(job_id)
        after = rules.end(before, outcome, message, remedy, time.time())
        if after is not before:
            self._heard.pop(job_id, None)
            self._since.pop(job_id, None)
            await self._commit(after)
            self._news.set()
        return after

    def overdue(self) -> list[tuple[Job, str, str, str]]:
        """Jobs that time ends: with outcome, message and remedy."""
        now, limits = self._clock(), self._limits
        found = []
        for item in self.open_jobs():
            silent = now - self._heard.get(item.id, now)
            since = now - self._since.get(item.id, now)
            if silent > limits.silent and item.session is None and not item.wakes:
                why = f"{item.machine} was switched off or has lost the network."
                found.append((item, "abandoned", why, "Choose the item again."))
            elif item.state == "queued" and since > limits.queued:
                why = f"It waited {limits.queued / 3600:.0f} h for its turn."
                found.append((item, "failed", why, "Look at slipway-runner.service."))
            elif item.state == "running" and now - self._runner_heard > limits.runner_silent:
                why = "The job runner on the image server has stopped."
                found.append((item, "failed", why, "Look at slipway-runner.service."))
            elif item.state == "running" and since > limits.running:
                why = f"It took more than {limits.running / 3600:.0f} h."
                found.append((item, "failed", why, "Look at the job's output: jobs.yml."))
        return found

    async def forget(self, ended_before: float) -> None:
        """Drop jobs that ended long ago, and the oldest of too many."""
        closed = [item for item in self.all() if not item.open]
        surplus, rest = closed[: -self._limits.keep], closed[-self._limits.keep :]
        old = surplus + ended(rest, ended_before)
        for item in old:
            del self._jobs[item.id]
            self._by_token.pop(item.token_hash, None)
        await self._db.delete(old)

    def release_waiters(self) -> None:
        """Answer a runner that waits, for the service stops."""
        self._news.set()

    async def _commit(self, item: Job) -> None:
        """Visible at once, durable when this returns."""
        self._jobs[item.id] = item
        self._news.set()
        await self._db.save(item)
