# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines said about themselves."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter

from .callers import AS_ROOT
from .common import ServiceDep, refusals
from .models import registrations as models
from .models.common import MachineName

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


@admin.get("/identities", response_model=models.IdentityList, responses=refusals())
async def list_identities(service: ServiceDep) -> Any:
    """What each machine said about itself when it last checked in."""
    found = service.identities.all()
    return {
        "identities": [
            {"machine": machine} | dataclasses.asdict(item)
            for machine, item in sorted(found.items())
        ]
    }


@admin.delete("/identities/{machine}", response_model=models.IdentityList, responses=refusals())
async def forget_identity(machine: MachineName, service: ServiceDep) -> Any:
    """Forget what a machine said: it got a new mainboard. The list holds that, or nothing."""
    found = await service.identities.forget(machine)
    gone = [{"machine": machine} | dataclasses.asdict(found)] if found else []
    return {"identities": gone}
