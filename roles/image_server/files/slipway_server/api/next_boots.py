# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders for a machine's next boot."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..base.errors import ServiceError
from ..jobs.next_boots import NextBoot
from ..service import Service
from .audited import NoteDep
from .callers import AS_ROOT, ByDep
from .common import BODY, ServiceDep, refusals
from .models import jobs as models
from .models.common import MachineName

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


def _shown(service: Service, order: NextBoot) -> dict[str, Any]:
    strangers = service.strangers.of("next_boot", order.id, order.machine)
    return service.next_boots.view(order) | {"strangers": strangers}


@admin.get(
    "/menus/{machine}", response_model=models.MenuView, responses=refusals("unknown_machine")
)
async def menu_of(machine: MachineName, service: ServiceDep) -> Any:
    """What a machine may be ordered to do."""
    found = await service.run(service.menus.of, machine)
    if found is None:
        raise ServiceError("unknown_machine", f"{machine} has no menu on this server.")
    return {"machine": machine, "items": found.all_items}


@admin.get("/next-boots", response_model=models.NextBootList, responses=refusals())
async def list_next_boots(service: ServiceDep) -> Any:
    """Orders that wait for a boot, and those of the last days."""
    return {"next_boots": [_shown(service, item) for item in service.next_boots.all()]}


@admin.post(
    "/next-boots",
    status_code=201,
    response_model=models.NextBootView,
    responses=refusals(*BODY),
)
async def set_next_boot(
    wanted: models.NewNextBoot, by: ByDep, note: NoteDep, service: ServiceDep
) -> Any:
    """Say what a machine does at its next boot, once. It takes the place of an earlier order."""
    macs = tuple(dict.fromkeys(wanted.macs))
    orders = service.next_boots
    armed = orders.armed(wanted.machine)
    note.about(wanted.machine, armed.item if armed else None, wanted.item)
    made = await orders.set(
        wanted.machine, macs, wanted.item, wanted.image, wanted.without_password, by
    )
    return _shown(service, made)


@admin.delete("/next-boots/{machine}", response_model=models.NextBootList, responses=refusals())
async def cancel_next_boot(machine: MachineName, note: NoteDep, service: ServiceDep) -> Any:
    """Take back the order that waits for a machine's boot; the list holds it, or nothing."""
    cancelled = await service.next_boots.cancel(machine)
    note.about(machine, cancelled.item if cancelled else None)
    return {"next_boots": [_shown(service, cancelled)] if cancelled else []}
