# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue alone: what stays true when requests come between one another."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from slipway_server.base.records import Records
from slipway_server.base.state_file import StateFile
from slipway_server.jobs.job import Job
from slipway_server.jobs.jobs import Jobs, Limits

LIMITS = Limits(silent=120, runner_silent=60, queued=3600, running=3600, keep=100)


def job(name: str, created: float) -> Job:
    return Job(
        id="",
        machine=name,
        macs=(f"52:54:00:c1:00:{int(created):02x}",),
        item="backup",
        verb="backup",
        title="Back up",
        image=name,
        created=created,
    )


def test_a_token_renewed_while_jobs_are_taken_back_stays_valid(tmp_path: Path) -> None:
    """The runner's answer got lost, and so did that of a machine, which asks again meanwhile."""
    state = StateFile(tmp_path)
    db = Records(state, Job, "jobs")

    async def lost_answers() -> None:
        jobs = Jobs(db, LIMITS)
        for number in (1, 2):
            await jobs.create(job(f"pc{number}", number))
        given, _, _ = await jobs.poll("run-1", [], 2, 0)
        assert len(given) == 2
        second = jobs.of_machine("pc2")
        assert second is not None
        _, (renewed, token) = await asyncio.gather(jobs.poll("run-1", [], 0, 0), jobs.renew(second))
        assert jobs.authenticate(token).id == renewed.id
        assert Jobs(db, LIMITS).authenticate(token).id == renewed.id

    try:
        asyncio.run(lost_answers())
    finally:
        state.close()


def test_people_are_served_before_what_is_planned(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    db = Records(state, Job, "jobs")

    async def serve() -> list[str]:
        jobs = Jobs(db, LIMITS)
        came = ("schedule", "order", "schedule", "choice", "web", "next_boot")
        for number, origin in enumerate(came):
            made = dataclasses.replace(job(f"pc{number}", number), origin=origin, arrival="wakes")
            await jobs.order(made)
        assert [jobs.place(item.id) for item in jobs.all()] == [5, 1, 6, 2, 3, 4]
        given = [(await jobs.poll("run-1", held(jobs), 1, 0))[0] for _ in came]
        return [item.origin for [item] in given]

    def held(jobs: Jobs) -> list[str]:
        return [item.id for item in jobs.all() if item.state == "running"]

    try:
        served = asyncio.run(serve())
    finally:
        state.close()
    assert served == ["order", "choice", "web", "next_boot", "schedule", "schedule"]
