# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a machine may be found on the network, for who wants to see whether it is on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as Parameter
from pydantic import BaseModel, Field

from .callers import AS_ROOT
from .common import ServiceDep, refusals
from .models.common import Mac, MachineName

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
runner = APIRouter(prefix="/v1")


class Whereabouts(BaseModel):
    """Addresses are no proof: look which card answers there."""

    addresses: list[str] = Field(description="the inventory's, then its cards' leases")
    host_key: str | None = Field(description="of the environment that had its last session")


@admin.get("/whereabouts/{machine}", response_model=Whereabouts, responses=refusals())
@runner.get("/whereabouts/{machine}", response_model=Whereabouts, responses=refusals())
async def whereabouts(
    machine: MachineName,
    mac: Annotated[list[Mac], Parameter(min_length=1, max_length=16)],
    service: ServiceDep,
) -> Any:
    """Where the cards of a machine may be, and by what its imaging environment is known."""
    last = service.sessions.last_checked_in(machine)
    return {
        "addresses": await service.addresses.known(mac),
        "host_key": last.host_key if last else None,
    }
