# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules: what they did and will do, and what people do about it. The inventory makes them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from .audited import NoteDep
from .callers import AS_ROOT, ByDep
from .common import BODY, ServiceDep, refusals
from .models import schedules as models

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
_UNKNOWN = ("unknown_schedule", "policy_broken")


@admin.get("/schedules", response_model=models.ScheduleList, responses=refusals("policy_broken"))
async def list_schedules(service: ServiceDep) -> Any:
    """All schedules, with their last windows and the next."""
    return {"schedules": await service.night_desk.all()}


@admin.get("/schedules/{name}", response_model=models.ScheduleNights, responses=refusals(*_UNKNOWN))
async def get_schedule(name: str, service: ServiceDep) -> Any:
    """One schedule, with how each machine's night ended."""
    return await service.night_desk.one(name)


@admin.post(
    "/schedules/{name}/run",
    response_model=models.ScheduleView,
    responses=refusals(*_UNKNOWN, "window_open"),
)
async def run_schedule(name: str, by: ByDep, service: ServiceDep) -> Any:
    """Begin a window now."""
    return await service.night_desk.start(name, by or "root")


@admin.post(
    "/schedules/{name}/pause",
    response_model=models.ScheduleView,
    responses=refusals(*_UNKNOWN, *BODY),
)
async def pause_schedule(
    name: str, wanted: models.PauseRequest, note: NoteDep, service: ServiceDep
) -> Any:
    """Order nothing until then, or go on now."""
    note.about(name, after=wanted.until or "goes on")
    return await service.night_desk.pause(name, wanted.until)


@admin.post(
    "/schedules/{name}/skip",
    response_model=models.ScheduleView,
    responses=refusals(*_UNKNOWN, "no_window"),
)
async def skip_window(name: str, service: ServiceDep) -> Any:
    """Leave the window out that is open, or the next."""
    return await service.night_desk.skip(name)
