# SPDX-License-Identifier: GPL-3.0-or-later
"""One wish of a PC's user, from the choice to its end: ``queued`` -> ``running`` -> ``ended``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..base.names import MAX_TEXT

OUTCOMES = ("done", "failed", "abandoned", "cancelled")


@dataclass(frozen=True)
class Job:
    """Everything the service knows of a job. Times are seconds since the epoch."""

    id: str
    machine: str
    macs: tuple[str, ...]
    item: str
    action: str
    title: str
    # NAME or NAME@VERSION; None for a rescue shell.
    image: str | None
    created: float
    # `choice`: a user chose it; `next_boot`: an administrator did, with boot_once.
    origin: str = "choice"
    state: str = "queued"
    outcome: str | None = None
    message: str = ""
    remedy: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    address: str | None = None
    host_key: str | None = None
    agent_version: str | None = None
    nonce_hash: str | None = None
    token_hash: str | None = None
    # The run of the job runner that holds it, and the session that its playbook opened.
    runner: str | None = None
    session: str | None = None

    @property
    def open(self) -> bool:
        """Whether the job has not ended."""
        return self.state != "ended"


def start(job: Job, runner: str, now: float) -> Job:
    """Give the job to a runner."""
    return dataclasses.replace(job, state="running", runner=runner, started_at=now)


def requeue(job: Job) -> Job:
    """Take a job back that its runner never got."""
    return dataclasses.replace(job, state="queued", runner=None, started_at=None)


def end(job: Job, outcome: str, message: str, remedy: str, now: float) -> Job:
    """End the job; ending an ended one changes nothing."""
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    if not job.open:
        return job
    return dataclasses.replace(
        job,
        state="ended",
        outcome=outcome,
        message=plain(message),
        remedy=plain(remedy),
        ended_at=now,
    )


def plain(text: str) -> str:
    """Text without anything that acts on a terminal, and not endless."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_TEXT]).strip()
