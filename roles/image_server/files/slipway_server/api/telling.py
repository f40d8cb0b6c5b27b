# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are told: fetched by the process that sends it; and the server in numbers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from ..base.errors import ServiceError
from ..choices.metrics import CONTENT_TYPE
from ..jobs.job import plain
from ..service import Service
from .common import BODY, ServiceDep, refusals
from .models import telling as models

teller = APIRouter(prefix="/v1")
watcher = APIRouter()
page = APIRouter(prefix="/v1")


@teller.post("/sinks", status_code=204, responses=refusals(*BODY))
async def name_sinks(wanted: models.Sinks, service: ServiceDep) -> None:
    """Say who is told from now on."""
    await service.outbox.admit(wanted.sinks)


@teller.get("/sinks/{sink}", response_model=models.EventList, responses=refusals("unknown_sink"))
async def waiting(sink: str, service: ServiceDep) -> Any:
    """What a sink is to be told next."""
    _known(service, sink)
    events = await service.run(service.outbox.waiting, sink)
    return {"server": service.config.address, "events": events}


@teller.post("/sinks/{sink}", status_code=204, responses=refusals(*BODY, "unknown_sink"))
async def note(sink: str, outcome: models.Outcome, service: ServiceDep) -> None:
    """Say what a sink was told, or why it can't be."""
    _known(service, sink)
    problem = None if outcome.problem is None else plain(outcome.problem)
    await service.outbox.note(sink, outcome.number, problem)


@page.post("/guesses", status_code=204, responses=refusals(*BODY))
async def note_guesses(seen: models.Guessing, service: ServiceDep) -> None:
    """Say that sign-ins of the page are slowed, for the passwords were wrong."""
    service.guesses.at_page(seen.account, str(seen.address))


def _known(service: Service, sink: str) -> None:
    if sink not in service.outbox.sinks:
        raise ServiceError("unknown_sink", "Nobody of that name is told: say who is, first.")


@watcher.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}, **refusals()},
)
async def metrics(service: ServiceDep) -> Response:
    """The server in numbers, as OpenMetrics text."""
    return Response(await service.metrics.text(), media_type=CONTENT_TYPE)
