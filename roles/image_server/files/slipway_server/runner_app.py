"""What the job runner reaches through its own socket: the jobs it holds and their sessions.

The runner is not the administrator. Whoever takes it over can run the jobs that PCs' users have
asked for, and no others: a session is opened for a job that is running, or not at all.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI
from fastapi import Query as Parameter

from . import admin_app, choice_app, choice_models, models
from .base.bodies import Bound
from .base.errors import ServiceError
from .core import Core
from .http_common import CoreDep, make_app, refusals

router = APIRouter(prefix="/v1")
_BODY = ("bad_body", "too_long", "too_slow")


@router.post("/jobs/poll", response_model=choice_models.PollAnswer, responses=refusals(*_BODY))
async def poll(asked: choice_models.PollRequest, core: CoreDep) -> Any:
    """A sign of life; the answer says which jobs to begin, oldest first, and which to stop."""
    begin, stop = await core.choices.poll(asked.runner, asked.holds, asked.free, asked.wait)
    return {"begin": [choice_app.shown(core, job) for job in begin], "stop": stop}


@router.post(
    "/jobs/{job_id}/end",
    response_model=choice_models.JobView,
    responses=refusals("no_such_job", *_BODY),
)
async def end_job(job_id: str, how: choice_models.JobEnd, core: CoreDep) -> Any:
    """How a job ended. An ended one stays as it is."""
    ended = await core.choices.end(job_id, how.outcome, how.message, how.remedy)
    return choice_app.shown(core, ended)


@router.post(
    "/sessions",
    status_code=201,
    response_model=models.SessionView,
    responses=refusals(
        "unknown_image", "unknown_version", "session_exists", "wrong_job", "no_such_job", *_BODY
    ),
)
async def create_session(wanted: models.NewSession, core: CoreDep) -> Any:
    """Open the session of a job that the runner holds; MAC addresses are the job's own."""
    if wanted.job is None:
        raise ServiceError("wrong_job", "A session of the job runner needs its job.")
    made = await core.choices.open_session(
        wanted.job,
        wanted.machine,
        wanted.verb,
        wanted.image,
        wanted.version,
        wanted.ttl_seconds,
    )
    return core.view(made)


async def own_session(session_id: str, core: CoreDep) -> str:
    """The id of a session that belongs to a job."""
    if core.sessions.get(session_id).job is None:
        raise ServiceError("wrong_job", "That session is not of a job.")
    return session_id


OwnSession = Annotated[str, Depends(own_session)]


@router.get(
    "/sessions/{session_id}",
    response_model=models.SessionView,
    responses=refusals("no_such_session", "wrong_job"),
)
async def get_session(
    session_id: OwnSession,
    core: CoreDep,
    wait: Annotated[float, Parameter(ge=0, le=25)] = 0,
    until: Literal["checked_in", "ended", "image_checked"] = "ended",
) -> Any:
    """A session of a job, as on the administrator's socket."""
    return await admin_app.get_session(session_id, core, wait, until)


@router.delete(
    "/sessions/{session_id}",
    response_model=models.SessionView,
    responses=refusals("no_such_session", "wrong_job"),
)
async def end_session(
    session_id: OwnSession,
    core: CoreDep,
    outcome: Literal["done", "failed", "cancelled"] = "cancelled",
) -> Any:
    """End a session of a job."""
    return await admin_app.end_session(session_id, core, outcome)


def build(core: Core) -> FastAPI:
    """The job runner's application."""
    app = make_app(core, "Slipway image server, job runner", lambda *_: Bound(needs_token=False))
    app.include_router(router)
    return app
