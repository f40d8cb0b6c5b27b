# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PC asks before it has a token: the boot script in clear, everything else behind TLS."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from ..base.errors import ServiceError
from ..sessions.arrivals import Report
from .common import BODY, NO_STORE, ServiceDep, peer, refusals
from .models import sessions as models

machine = APIRouter()
_BOOT_MAC = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}\Z")


@machine.get(
    "/boot/{mac}.ipxe",
    response_class=PlainTextResponse,
    # Nobody without a token sends a body here.
    responses=refusals("no_boot_script", "bad_token"),
    summary="The script that boots a MAC into what is asked of it",
)
async def boot(
    mac: str, request: Request, service: ServiceDep, uuid: str = "", serial: str = ""
) -> PlainTextResponse:
    """A pending session's script, or, once, that of an order; nginx answers a 404 with the menu.

    For the machine alone: whoever asks from another address gets the 404, and so does another PC
    at a card for whose machine the inventory has a ``uuid`` or ``serial``.
    """
    script = None
    if _BOOT_MAC.match(mac):
        card = mac.replace("-", ":")
        said = {"uuid": uuid, "serial": serial}
        script = await service.arrivals.boot_script(card, peer(request), said)
    if script is None:
        raise ServiceError("no_boot_script", "Nothing is asked of this MAC address.")
    return PlainTextResponse(script, headers=NO_STORE)


@machine.post(
    "/v1/checkin",
    response_model=models.CheckInAnswer,
    responses=refusals(
        "no_such_session",
        "already_checked_in",
        "session_ended",
        "wrong_address",
        "no_ticket",
        "another_machine",
        *BODY,
    ),
)
async def check_in(report: models.CheckInRequest, request: Request, service: ServiceDep) -> Any:
    """Bind the session to this machine and get its token, once."""
    said = report.model_dump() | {"macs": tuple(report.macs)}
    item, token = await service.arrivals.check_in(Report(**said), peer(request))
    brief = {"id": item.id} | {
        key: getattr(item, key) for key in ("machine", "verb", "image", "version")
    }
    brief["postponable"] = service.runs.is_postponable(item)
    return JSONResponse({"token": token, "session": brief}, headers=NO_STORE)


@machine.post("/v1/pending", response_model=models.Pending, responses=refusals(*BODY))
async def pending(asks: models.PendingRequest, request: Request, service: ServiceDep) -> Any:
    """Does a session wait for this machine, which stayed in the environment after its last one?"""
    item = await service.arrivals.pending(asks.macs, asks.nonce, asks.host_key, peer(request))
    return {"session": None if item is None else item.id}
