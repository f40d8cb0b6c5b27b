# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine may be given a job: it has one wish at a time."""

from __future__ import annotations

from collections.abc import Collection

from ..base.errors import ServiceError
from ..base.times import iso
from ..jobs.jobs import Jobs
from ..sessions.sessions import Sessions


def refuse_busy(
    jobs: Jobs,
    sessions: Sessions,
    machine: str,
    macs: Collection[str],
    sharing: frozenset[str],
) -> None:
    """Refuse a machine that has an open job, or is in an open session by its name or a card.

    ``sharing``: the machines that have a card in common with it, and are told from it otherwise.
    """
    other = jobs.of_machine(machine)
    if other is not None:
        raise ServiceError(
            "machine_busy",
            f"{machine} has a job already: {other.item or other.verb}, {other.state} since "
            f"{iso(other.created)}.",
            job=other.id,
        )
    for session in sessions.open_sessions():
        shared = session.machine not in sharing and set(session.macs) & set(macs)
        if session.machine == machine or shared:
            raise ServiceError(
                "machine_busy",
                f"{machine} is at work already ({session.verb}, {session.state}).",
                session=session.id,
            )
