# SPDX-License-Identifier: GPL-3.0-or-later
"""One wish for one machine, from the asking to its end: ``queued`` -> ``running`` -> ``ended``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from ..base.names import MAX_TEXT

# What may be ordered or planned for a machine that is off.
Ordered = Literal["backup", "restore", "verify", "wake"]
# Who wished, and in this order they are served: people do not wait for what is planned.
ORIGINS = ("choice", "next_boot", "order", "web", "schedule")
_PLANNED = ("schedule",)
# The machine of a job `waits` in the imaging environment, or it is off and the job `wakes` it.
ARRIVALS = ("waits", "wakes")
# What the machine does afterwards; what it was found like says what `as_found` means.
AFTER = ("as_found", "poweroff", "reboot")
# Of what is planned alone: `was_on`, the machine was found on and left alone; `postponed`, somebody
# at the machine wanted it later.
OUTCOMES = ("done", "failed", "abandoned", "cancelled", "was_on", "postponed")


@dataclass(frozen=True)
class Job:
    """Everything the service knows of a job. Times are seconds since the epoch."""

    id: str
    machine: str
    macs: tuple[str, ...]
    # One that may be ordered, or what a menu offers: rescue_shell, which needs no playbook.
    verb: str
    # NAME or NAME@VERSION; None where the verb needs none.
    image: str | None
    created: float
    # `choice`: the machine's user; `next_boot`: an administrator, with boot_once; `order`: one who
    # did not want to wait for it; `web`: the page; `schedule`: a plan.
    origin: str = "choice"
    # The account that wished it; empty: whoever is at the machine.
    by: str = ""
    arrival: str = "waits"
    # Checked by the API: names and types are those of the playbooks' variables.
    options: dict[str, Any] = field(default_factory=dict)
    after: str = "as_found"
    # The item of the machine's menu that was chosen, and how it is called there.
    item: str | None = None
    title: str = ""
    state: str = "queued"
    outcome: str | None = None
    message: str = ""
    remedy: str = ""
    # It is not begun from then on; None: it may always be.
    not_after: float | None = None
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

    @property
    def wakes(self) -> bool:
        """Whether its machine is to be woken and booted first."""
        return self.arrival == "wakes"

    @property
    def leave(self) -> str | None:
        """What its machine does in the end by itself, if whoever plays the job is gone."""
        if not self.wakes:
            return None
        return "poweroff" if self.after == "as_found" else self.after

    @property
    def planned(self) -> bool:
        """Whether no person waits for it."""
        return self.origin in _PLANNED


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
