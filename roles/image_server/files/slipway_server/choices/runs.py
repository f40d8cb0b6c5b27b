# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of jobs: the runner that plays them, their sessions, and their end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..base.errors import ServiceError
from ..jobs.job import Job
from ..jobs.jobs import Jobs
from ..sessions.session import Session
from ..sessions.sessions import Sessions

log = logging.getLogger(__name__)


class Runs:
    """Runs in the event loop."""

    def __init__(
        self, jobs: Jobs, sessions: Sessions, open_session: Callable[..., Awaitable[Session]]
    ) -> None:
        """``open_session`` is that of `Openings`."""
        self._jobs = jobs
        self._sessions = sessions
        self._open_session = open_session

    def status(self, job: Job) -> dict[str, Any]:
        """What the machine of a job is told: how it is by now."""
        job = self._jobs.get(job.id)
        session = self._session(job)
        return {
            "id": job.id,
            "machine": job.machine,
            "item": job.item,
            "action": job.verb,
            "title": job.title,
            "image": job.image,
            "state": job.state,
            "outcome": job.outcome,
            "message": job.message,
            "remedy": job.remedy,
            "place": self._jobs.place(job.id),
            "runner": self._jobs.runner_is_there,
            "session": session.id if session and session.open else None,
        }

    async def open_session(
        self,
        job_id: str,
        machine: str,
        verb: str,
        image: str | None,
        version: str | None,
        ttl: int,
        full_check: bool = False,
    ) -> Session:
        """The session of a job that is running: for its machine and for what was chosen."""
        job = self._jobs.get(job_id)
        reference = image if version is None else f"{image}@{version}"
        wanted = (machine, verb, reference)
        if job.state != "running" or wanted != (job.machine, job.verb, job.image):
            raise ServiceError(
                "wrong_job", f"Job {job.id} ({job.state}) is not for {verb} of {machine}."
            )
        # On disk in one go: neither is there without the other, whatever happens.
        made = await self._open_session(
            job.machine,
            job.macs,
            job.verb,
            image,
            version,
            ttl,
            job,
            full_check=full_check,
            also=lambda session_id: self._jobs.change_to_open(job.id, session_id),
        )
        await self._jobs.opened_session(job, made.id)
        return made

    async def poll(
        self, runner: str, holds: list[str], free: int, wait: float
    ) -> tuple[list[Job], list[str]]:
        """What the runner shall begin and stop."""
        given, stop, lost = await self._jobs.poll(runner, holds, free, wait)
        for job in lost:
            again = "Order it again." if job.wakes else "Choose it again."
            await self.end(job.id, "failed", "The job runner was restarted.", again)
        return given, stop

    async def end(self, job_id: str, outcome: str, message: str = "", remedy: str = "") -> Job:
        """End a job, and the session with it."""
        job = self._jobs.get(job_id)
        session = self._session(job)
        if outcome == "failed" and session and session.outcome == "abandoned":
            outcome = "abandoned"
            message = f"{job.machine} was switched off or has lost the network. {message}"
        if session is not None and session.open:
            # The session first: nobody shall see that the job has ended while a boot could still
            # lead into it. On disk in one go.
            also = [self._jobs.change_to_end(job_id, outcome, message, remedy)]
            await self._sessions.end(session.id, "cancelled", also)
        job = await self._jobs.end(job_id, outcome, message, remedy)
        log.info("job %s of %s: %s %s", job.id, job.machine, job.outcome, job.message)
        return job

    def is_postponable(self, session: Session) -> bool:
        """Whether somebody at the machine may say: later. A planned backup; never a restore."""
        try:
            job = self._jobs.get(session.job or "")
        except ServiceError:
            return False
        return job.open and job.planned and job.verb == "backup"

    async def postpone(self, session: Session) -> None:
        """End the job of a session, for somebody at its machine wants to work."""
        if session.job is None or not self.is_postponable(session):
            raise ServiceError("not_postponable", "This work can't be done another time.")
        why = "Somebody at the PC wanted it another time."
        await self.end(session.job, "postponed", why, "It is due in the next window.")

    async def sweep(self) -> None:
        """End what is overdue."""
        for job, outcome, message, remedy in self._jobs.overdue():
            await self.end(job.id, outcome, message, remedy)

    def _session(self, job: Job) -> Session | None:
        try:
            return self._sessions.get(job.session) if job.session else None
        except ServiceError:
            # Sessions are forgotten before jobs.
            return None
