# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration: the one request without a token that changes anything, and what root decides."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .audited import NoteDep
from .callers import AS_ROOT, ByDep, RegistrationDep
from .common import BODY, NO_STORE, ServiceDep, peer, refusals
from .models import registrations as models

machine = APIRouter(prefix="/v1")
admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
_QUEUE = ("registration_refused", "mac_taken", "queue_full", "too_many")


@machine.post(
    "/registrations",
    status_code=201,
    response_model=models.RegistrationAnswer,
    responses=refusals("wrong_address", *_QUEUE, *BODY),
)
async def register(
    report: models.RegistrationRequest, request: Request, service: ServiceDep
) -> Any:
    """Ask to become a machine. The same nonce renews what was said before."""
    await service.arrivals.register(report.macs, peer(request))
    found, token = await service.registrations.report(
        macs=tuple(dict.fromkeys(report.macs)),
        name=report.name,
        hardware=report.hardware.model_dump(),
        agent_version=report.agent_version,
        nonce=report.nonce,
        address=peer(request),
    )
    answer = {"token": token, "registration": service.registrations.own_view(found)}
    return JSONResponse(answer, 201, NO_STORE)


@machine.get(
    "/registrations/current", response_model=models.OwnRegistration, responses=refusals("bad_token")
)
async def own_registration(registration: RegistrationDep) -> Any:
    """How the token's registration stands; asked every few seconds."""
    return registration


@admin.get("/registrations", response_model=models.RegistrationList, responses=refusals())
async def list_registrations(service: ServiceDep) -> Any:
    """The queue, oldest first, with what was decided lately."""
    return {
        "registrations": [service.registrations.view(item) for item in service.registrations.all()]
    }


@admin.post(
    "/registrations/{key}/approve",
    response_model=models.RegistrationView,
    responses=refusals("no_such_registration", "already_decided", *BODY),
)
async def approve(key: str, wanted: models.Approval, note: NoteDep, service: ServiceDep) -> Any:
    """Tell a PC that it is a machine now. It reboots into its menu, which must be there."""
    note.about(key, after=wanted.machine)
    approved = await service.registrations.approve(key, wanted.machine)
    # Whoever approves has seen what the PC says that it is.
    await service.identities.saw(wanted.machine, approved.macs, approved.hardware, confirmed=True)
    return service.registrations.view(approved)


@admin.post(
    "/registrations/{key}/wish",
    response_model=models.RegistrationView,
    responses=refusals("no_such_registration", "already_decided", *BODY),
)
async def wish(
    key: str, wanted: models.Approval, by: ByDep, note: NoteDep, service: ServiceDep
) -> Any:
    """Decide that a PC shall be a machine: the inventory is written by register.yml."""
    note.about(key, after=wanted.machine)
    wished = await service.registrations.wish(key, wanted.machine, by)
    await service.run(service.carried_out.ask)
    return service.registrations.view(wished)


@admin.post(
    "/registrations/{key}/refuse",
    response_model=models.RegistrationView,
    responses=refusals("no_such_registration", "already_decided", *BODY),
)
async def refuse(key: str, wanted: models.Refusal, note: NoteDep, service: ServiceDep) -> Any:
    """Send a PC away."""
    note.about(key, after="refused")
    return service.registrations.view(await service.registrations.refuse(key, wanted.reason))
