"""Registration: the one request without a token that changes anything, and what root decides."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from . import registration_models as models
from .base.errors import ServiceError
from .http_common import CoreDep, peer, refusals
from .models import MachineName

public = APIRouter(prefix="/v1")
admin = APIRouter(prefix="/v1")
_bearer = HTTPBearer(auto_error=False, description="the token that the registration gave")
_BODY = ("bad_body", "too_long", "too_slow")
_QUEUE = ("registration_refused", "mac_taken", "queue_full", "too_many")


@public.post(
    "/registrations",
    status_code=201,
    response_model=models.RegistrationAnswer,
    responses=refusals("wrong_address", *_QUEUE, *_BODY),
)
async def register(report: models.RegistrationRequest, request: Request, core: CoreDep) -> Any:
    """Ask to become a machine. The same nonce renews what was said before."""
    await core.arrivals.register(report.macs, peer(request))
    found, token = await core.registrations.report(
        macs=tuple(dict.fromkeys(report.macs)),
        name=report.name,
        hardware=report.hardware.model_dump(),
        agent_version=report.agent_version,
        nonce=report.nonce,
        address=peer(request),
    )
    answer = {"token": token, "registration": core.registrations.own_view(found)}
    return JSONResponse(answer, 201, {"Cache-Control": "no-store"})


@public.get(
    "/registrations/current", response_model=models.OwnRegistration, responses=refusals("bad_token")
)
async def own_registration(
    core: CoreDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Any:
    """How the token's registration stands; asked every few seconds."""
    if credentials is None:
        raise ServiceError("bad_token", "The request carries no token.", "Register again.")
    return core.registrations.own_view(core.registrations.own(credentials.credentials))


@admin.get("/registrations", response_model=models.RegistrationList, responses=refusals())
async def list_registrations(core: CoreDep) -> Any:
    """The queue, oldest first, with what was decided lately."""
    return {"registrations": [core.registrations.view(item) for item in core.registrations.all()]}


@admin.post(
    "/registrations/{key}/approve",
    response_model=models.RegistrationView,
    responses=refusals("no_such_registration", "already_decided", *_BODY),
)
async def approve(key: str, wanted: models.Approval, core: CoreDep) -> Any:
    """Tell a PC that it is a machine now. It reboots into its menu, which must be there."""
    approved = await core.registrations.approve(key, wanted.machine)
    # Whoever approves has seen what the PC says that it is.
    await core.identities.saw(wanted.machine, approved.macs, approved.hardware, confirmed=True)
    return core.registrations.view(approved)


@admin.post(
    "/registrations/{key}/refuse",
    response_model=models.RegistrationView,
    responses=refusals("no_such_registration", "already_decided", *_BODY),
)
async def refuse(key: str, wanted: models.Refusal, core: CoreDep) -> Any:
    """Send a PC away."""
    return core.registrations.view(await core.registrations.refuse(key, wanted.reason))


@admin.get("/identities", response_model=models.IdentityList, responses=refusals())
async def list_identities(core: CoreDep) -> Any:
    """What each machine said about itself when it last checked in."""
    found = core.identities.all()
    return {
        "identities": [
            {"machine": machine} | dataclasses.asdict(item)
            for machine, item in sorted(found.items())
        ]
    }


@admin.delete("/identities/{machine}", response_model=models.IdentityList, responses=refusals())
async def forget_identity(machine: MachineName, core: CoreDep) -> Any:
    """Forget what a machine said: it got a new mainboard. The list holds that, or nothing."""
    found = await core.identities.forget(machine)
    gone = [{"machine": machine} | dataclasses.asdict(found)] if found else []
    return {"identities": gone}
