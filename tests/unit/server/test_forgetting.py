# SPDX-License-Identifier: GPL-3.0-or-later
"""What ended long ago is forgotten, in memory as on disk; nothing else is."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base.records import Records
from slipway_server.base.state_file import StateFile
from slipway_server.jobs.job import Job
from slipway_server.jobs.jobs import Jobs
from slipway_server.jobs.next_boots import NextBoot, NextBoots
from slipway_server.sessions.session import Session
from slipway_server.sessions.sessions import Sessions

from .test_jobs import LIMITS, job

KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "sessions": (
        Session("", "pc", ("52:54:00:00:00:01",), "backup", "pc", None, 1.0, 60),
        Sessions,
    ),
    "jobs": (job("pc", 1.0), lambda db: Jobs(db, LIMITS)),
    "next_boots": (NextBoot("", "pc", ("52:54:00:00:00:01",), "save", None, 1.0), NextBoots),
}


@pytest.mark.parametrize("table", KINDS)
def test_only_what_ended_before_that_time(tmp_path: Path, table: str) -> None:
    made, keeper = KINDS[table]
    ends: dict[str, float | None] = {"old": 9.0, "at": 10.0, "new": 11.0, "open": None}
    records = [
        dataclasses.replace(
            made,
            id=name,
            machine=name,
            ended_at=ended,
            **({} if ended is None else {"state": "ended", "outcome": "cancelled"}),
        )
        for name, ended in ends.items()
    ]
    state = StateFile(tmp_path)
    db: Records[Any] = Records(state, type(made), table)

    async def forget() -> list[str]:
        await db.save(*records)
        kept = keeper(db)
        await kept.forget(10.0)
        return [item.id for item in kept.all()]

    try:
        assert asyncio.run(forget()) == ["at", "new", "open"]
        assert [item.id for item in db.load()] == ["at", "new", "open"]
    finally:
        state.close()


def test_the_oldest_of_too_many_jobs(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    db = Records(state, Job, "jobs")

    async def forget() -> list[str]:
        await db.save(
            *(
                dataclasses.replace(
                    job("pc", 1.0), id=name, state="ended", outcome="done", ended_at=20.0
                )
                for name in "abc"
            )
        )
        jobs = Jobs(db, dataclasses.replace(LIMITS, keep=2))
        await jobs.forget(10.0)
        return [item.id for item in jobs.all()]

    try:
        assert asyncio.run(forget()) == ["b", "c"]
        assert [item.id for item in db.load()] == ["b", "c"]
    finally:
        state.close()
