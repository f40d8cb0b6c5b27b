# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PC's user chose in its menu, and how that goes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ..choices.choices import Wish
from .audited import NoteDep
from .callers import JobDep
from .common import BODY, NO_STORE, ServiceDep, peer, refusals
from .models import jobs as models

machine = APIRouter(prefix="/v1/choices")


@machine.post(
    "",
    status_code=201,
    response_model=models.ChoiceAnswer,
    responses=refusals(
        "password_required",
        "wrong_password",
        "too_many_tries",
        "no_such_item",
        "wrong_address",
        "another_machine",
        "not_offered",
        "unknown_machine",
        "machine_unclear",
        "machine_busy",
        "image_required",
        "unknown_image",
        "unknown_version",
        *BODY,
    ),
)
async def choose(
    wanted: models.ChoiceRequest, request: Request, note: NoteDep, service: ServiceDep
) -> Any:
    """Queue what the menu's user chose, and get the token that tells how it goes."""
    note.about(wanted.macs[0], after=wanted.item)
    job, token = await service.choices.choose(
        Wish(
            macs=tuple(wanted.macs),
            item=wanted.item,
            nonce=wanted.nonce,
            host_key=wanted.host_key,
            agent_version=wanted.agent_version,
            address=peer(request),
            hardware=wanted.hardware,
            password=wanted.password,
            image=wanted.image,
            once=wanted.once,
        )
    )
    note.subject = job.machine
    answer = {"token": token, "job": service.runs.status(job)}
    return JSONResponse(answer, 201, headers=NO_STORE)


@machine.get("/current", response_model=models.ChoiceStatus, responses=refusals("bad_token"))
async def current(job: JobDep) -> Any:
    """The token's own job. Asking is a sign of life: a job whose machine is silent ends."""
    return job
