# SPDX-License-Identifier: GPL-3.0-or-later
"""How things were: the store's room, and how long backups took."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from .callers import AS_ROOT
from .common import ServiceDep, refusals
from .models import history as models
from .models.common import MachineName

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


@admin.get("/room", response_model=models.RoomDays, responses=refusals())
async def room(service: ServiceDep) -> Any:
    """The room of the store's file system, day by day."""
    return {"days": service.history.room()}


@admin.get("/backups/{machine}", response_model=models.Backups, responses=refusals())
async def backups(machine: MachineName, service: ServiceDep) -> Any:
    """How long the last backups of a machine took."""
    return {"backups": service.history.backups(machine)}
