# SPDX-License-Identifier: GPL-3.0-or-later
"""How the service is, and who asked for what is not his."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from .. import __version__
from ..base import certificates
from ..base.times import iso
from .callers import AS_ROOT
from .common import ServiceDep, refusals
from .models import status as models
from .models import strangers

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


@admin.get("/status", response_model=models.Status, responses=refusals())
async def status(service: ServiceDep) -> Any:
    """How the service is."""
    counts: dict[str, int] = {}
    for item in service.sessions.all():
        counts[item.state] = counts.get(item.state, 0) + 1
    room = await service.run(service.store.room)
    return {
        "version": __version__,
        "started": iso(service.clock.started),
        "sessions": counts,
        "images": len(await service.run(service.images.names)),
        "store_free": room.free,
        "store_total": room.total,
        "store_reserve": service.config.store_reserve_bytes,
        "warnings": [
            *certificates.warnings(service.config, datetime.now(UTC)),
            *await service.run(service.upkeep.warnings),
            *await service.run(service.nights.warnings),
            *await service.run(service.media_clock.warnings),
            *service.outbox.warnings(),
        ],
    }


@admin.get("/strangers", response_model=strangers.StrangerList, responses=refusals())
async def list_strangers(service: ServiceDep) -> Any:
    """Who asked for what is a machine's from an address that is not the machine's."""
    return {"strangers": service.strangers.all()}
