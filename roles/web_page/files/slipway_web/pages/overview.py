# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs somebody, and what goes on."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Response

from .. import words
from ..asking import Ask
from ..service import path
from .jobs import running_now
from .schedules import nights_of

# A machine that was not saved for so long is shown.
_STALE_DAYS = 7
_DAY = 86400.0
_MOST = 20


async def show(ask: Ask) -> Response:
    """The first page."""
    machines = (await ask.get(path("machines")))["machines"]
    jobs = await ask.get(path("jobs"))
    images = (await ask.get(path("images")))["images"]
    running = await running_now(ask)
    waiting = (await ask.get(path("registrations")))["registrations"]
    status = await ask.get(path("status"))
    stale = sorted(filter(_is_stale, machines), key=_saved_at)
    versions = [
        {"image": image["name"], **version} for image in images for version in image["versions"]
    ]
    return ask.show(
        "overview.html",
        machines=len(machines),
        images=len(images),
        versions=len(versions),
        stale=stale[:_MOST],
        stale_count=len(stale),
        stale_days=_STALE_DAYS,
        failed=[each for each in reversed(jobs["jobs"]) if _failed_lately(each)][:_MOST],
        running=running,
        at_work=[each for each in running if each["state"] == "running"],
        schedules=await nights_of(ask),
        runner=jobs["runner"],
        waiting=[each for each in waiting if each["state"] == "waiting"],
        broken=[each for each in versions if each["problem"] or each["lacking"]][:_MOST],
        status=status,
    )


def _saved_at(machine: dict[str, Any]) -> float:
    saved = machine["saved"]
    return (words.seconds_of(saved["created"]) or 0.0) if saved else 0.0


def _is_stale(machine: dict[str, Any]) -> bool:
    return time.time() - _saved_at(machine) > _STALE_DAYS * _DAY


def _failed_lately(job: dict[str, Any]) -> bool:
    ended = words.seconds_of(job["ended_at"]) if job["ended_at"] else None
    return job["outcome"] == "failed" and ended is not None and time.time() - ended < _DAY
