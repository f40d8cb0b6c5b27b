# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs somebody, of all machines and images: counted here, so that nobody asks for all."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from fastapi import APIRouter

from ..jobs.job import Job
from .common import ServiceDep, refusals
from .models import overview as models
from .reach import ReachDep

page = APIRouter(prefix="/v1")
# A machine that was not saved for so long is old.
_OLD_DAYS = 7
_DAY = 86400.0
_MOST = 20


@page.get("/overview", response_model=models.Overview, responses=refusals())
async def overview(reach: ReachDep, service: ServiceDep) -> Any:
    """Numbers, and of what needs somebody the first twenty of each kind."""
    menus = await service.run(service.menus.all)
    saved = await service.run(service.newest.of_machines)
    images = await service.run(service.newest.images, reach.sees)
    names = [menu.machine for menu in menus if reach.has(menu.machine)]
    at = {name: _moment(saved[name].created) if name in saved else 0.0 for name in names}
    now = time.time()
    old = sorted((name for name in names if now - at[name] > _OLD_DAYS * _DAY), key=at.__getitem__)
    failed = [each for each in service.jobs.all() if reach.has(each.machine) and _failed(each, now)]
    return {
        "machines": len(names),
        "images": len(images),
        "versions": sum(each.versions for each in images.values()),
        "old_days": _OLD_DAYS,
        "old": len(old),
        "oldest": [
            {"name": name, "saved": saved[name].created if name in saved else None}
            for name in old[:_MOST]
        ],
        "failed": [service.jobs.view(each) for each in reversed(failed[-_MOST:])],
        "broken": [
            {"image": name, "version": version, "problem": problem, "lacking": lacking}
            for name, each in sorted(images.items())
            for version, problem, lacking in each.broken
        ][:_MOST],
        "runner": service.jobs.runner_is_there,
        "reading": service.first_look.progress(),
    }


def _moment(created: str) -> float:
    """Seconds since the epoch, of what a manifest says of its time; 0: it says none."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0


def _failed(job: Job, now: float) -> bool:
    return job.outcome == "failed" and job.ended_at is not None and now - job.ended_at < _DAY
