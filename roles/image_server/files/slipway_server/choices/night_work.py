# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clockwork of schedules asks of images and jobs, and each order's line in the audit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from ..base.audit import Audit, Line
from ..base.errors import ServiceError
from ..base.threads import Run
from ..images.catalog import Catalog, made_at, newest_good
from ..images.policy import Policy
from ..jobs.job import Job
from ..jobs.jobs import Jobs
from ..sessions.session import Session
from ..sessions.sessions import Sessions
from .ordering import Ordering, Wanted
from .runs import Runs

SCHEDULE = "schedule"


class NightWork:
    """Runs in the event loop."""

    def __init__(
        self,
        catalog: Catalog,
        jobs: Jobs,
        sessions: Sessions,
        ordering: Ordering,
        runs: Runs,
        audit: Audit,
        run: Run,
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._catalog = catalog
        self._jobs = jobs
        self._sessions = sessions
        self._ordering = ordering
        self._runs = runs
        self._audit = audit
        self._run = run

    async def newest(self, machines: Sequence[str]) -> dict[str, float | None]:
        """When the newest good version of each machine's own image was made, whoever made it."""
        return await self._run(self._newest, machines)

    def _newest(self, machines: Sequence[str]) -> dict[str, float | None]:
        policy, now = Policy(), datetime.now(UTC)
        return {
            each: made_at(newest_good(self._catalog.judge(each, policy, {}, now)))
            for each in machines
        }

    async def order(self, wanted: Wanted, by: str) -> Job:
        """Order a job; refusals, too, are lines of the audit."""
        outcome = "done"
        try:
            return await self._ordering.order(wanted, SCHEDULE, SCHEDULE)
        except ServiceError as error:
            outcome = error.error
            raise
        finally:
            what = f"{wanted.verb} {wanted.image or ''}".rstrip()
            await self._audit.add(
                Line(time.time(), by, SCHEDULE, "", "order a job", wanted.machine, outcome,
                     None, what)
            )  # fmt: skip

    def job(self, job_id: str) -> Job | None:
        """A job as it is now; None: it is forgotten."""
        try:
            return self._jobs.get(job_id)
        except ServiceError:
            return None

    def has_arrived(self, job: Job) -> bool:
        """Whether its machine came into the environment; of a mere wake nobody knows."""
        session = self._session(job)
        return job.verb == "wake" or (session is not None and session.checked_in_at is not None)

    async def is_degraded(self, job: Job) -> bool:
        """Whether the version that it made is."""
        session = self._session(job)
        if job.verb != "backup" or session is None or session.image is None:
            return False
        judged = await self._run(
            self._catalog.judge, session.image, Policy(), {}, datetime.now(UTC)
        )
        return any(
            each.version == session.version and bool(each.summary["degraded"]) for each in judged
        )

    async def cancel(self, job: Job, why: str) -> None:
        """End a job that has not ended."""
        await self._runs.end(job.id, "cancelled", why)

    def _session(self, job: Job) -> Session | None:
        try:
            return self._sessions.get(job.session) if job.session else None
        except ServiceError:
            # Sessions are forgotten before jobs.
            return None
