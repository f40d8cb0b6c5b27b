"""Routes about choices, jobs and next boots, for machines and for the administrator."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from . import choice_models as models
from .choices.choices import Choices, Wish
from .core import Core
from .http_common import CoreDep, TokenDep, peer, refusals
from .jobs import jobs
from .jobs import next_boots as next_boot
from .jobs.job import Job
from .models import MachineName

public_router = APIRouter(prefix="/v1/choices")
admin_router = APIRouter(prefix="/v1")
_BODY = ("bad_body", "too_long", "too_slow")
_NO_STORE = {"Cache-Control": "no-store"}


@public_router.post(
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
        *_BODY,
    ),
)
async def choose(wanted: models.ChoiceRequest, request: Request, core: CoreDep) -> Any:
    """Queue what the menu's user chose, and get the token that tells how it goes."""
    job, token = await core.choices.choose(
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
    answer = {"token": token, "job": core.choices.status(job)}
    return JSONResponse(answer, 201, headers=_NO_STORE)


@public_router.get("/current", response_model=models.ChoiceStatus, responses=refusals("bad_token"))
async def current(token: TokenDep, core: CoreDep) -> Any:
    """The token's own job. Asking is a sign of life: a job whose machine is silent ends."""
    return core.choices.status(core.choices.jobs.authenticate(token))


def shown(core: Core, job: Job) -> dict[str, Any]:
    """A job as the administrator and the runner see it."""
    return jobs.view(job) | {"place": core.choices.jobs.place(job.id)}


def shown_order(core: Core, order: next_boot.NextBoot) -> dict[str, Any]:
    """An order as the administrator sees it."""
    strangers = core.strangers.of("next_boot", order.id, order.machine)
    return next_boot.view(order) | {"strangers": strangers}


@admin_router.get("/jobs", response_model=models.JobList, responses=refusals())
async def list_jobs(core: CoreDep, state: models.JobState | None = None) -> Any:
    """All jobs of the last days, oldest first."""
    choices: Choices = core.choices
    found = [shown(core, job) for job in choices.jobs.all() if state in (None, job.state)]
    return {
        "jobs": found,
        "runner": choices.jobs.runner_is_there,
        "strangers": core.strangers.all(),
    }


@admin_router.get(
    "/jobs/{job_id}", response_model=models.JobView, responses=refusals("no_such_job")
)
async def get_job(job_id: str, core: CoreDep) -> Any:
    """One job."""
    return shown(core, core.choices.jobs.get(job_id))


@admin_router.delete(
    "/jobs/{job_id}", response_model=models.JobView, responses=refusals("no_such_job")
)
async def cancel_job(job_id: str, core: CoreDep) -> Any:
    """Cancel a job: its playbook is stopped, its session ended. An ended one stays as it is."""
    why = "The administrator has cancelled it."
    return shown(core, await core.choices.end(job_id, "cancelled", why, "Ask the administrator."))


@admin_router.get("/next-boots", response_model=models.NextBootList, responses=refusals())
async def list_next_boots(core: CoreDep) -> Any:
    """Orders that wait for a boot, and those of the last days."""
    return {"next_boots": [shown_order(core, item) for item in core.choices.next_boots.all()]}


@admin_router.post(
    "/next-boots",
    status_code=201,
    response_model=models.NextBootView,
    responses=refusals(*_BODY),
)
async def set_next_boot(wanted: models.NewNextBoot, core: CoreDep) -> Any:
    """Say what a machine does at its next boot, once. It takes the place of an earlier order."""
    macs = tuple(dict.fromkeys(wanted.macs))
    orders = core.choices.next_boots
    made = await orders.set(
        wanted.machine, macs, wanted.item, wanted.image, wanted.without_password
    )
    return shown_order(core, made)


@admin_router.delete(
    "/next-boots/{machine}", response_model=models.NextBootList, responses=refusals()
)
async def cancel_next_boot(machine: MachineName, core: CoreDep) -> Any:
    """Take back the order that waits for a machine's boot; the list holds it, or nothing."""
    cancelled = await core.choices.next_boots.cancel(machine)
    return {"next_boots": [shown_order(core, cancelled)] if cancelled else []}
