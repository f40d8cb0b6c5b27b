# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions: for the machine that has one, for the administrator, and for the job runner."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Query as Parameter

from ..base.errors import ServiceError
from ..service import Service
from ..sessions.session import Session, finished, proof_nonce
from ..sessions.verbs import VERBS
from ..sessions.view import view
from .audited import NoteDep
from .callers import AS_ROOT, OF_A_JOB, SessionDep
from .common import AUTH, BODY, ServiceDep, refusals
from .models import sessions as models
from .models.common import Empty, MachineName

machine = APIRouter(prefix="/v1")
admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
runner = APIRouter(prefix="/v1")
_UNKNOWN = ("unknown_image", "unknown_version")
# One session, as the administrator and as the runner asks for it.
_ANY: dict[str, Any] = {
    "response_model": models.SessionView,
    "responses": refusals("no_such_session"),
}
_OF_ITS_JOBS = _ANY | {
    "responses": refusals("no_such_session", "wrong_job"),
    "dependencies": [OF_A_JOB],
}


def _shown(service: Service, item: Session) -> dict[str, Any]:
    """The session with the check of its image and its strangers as they are now."""
    return view(item) | {
        "image_check": service.openings.check_of(item),
        "strangers": service.strangers.of("session", item.id, item.machine),
    }


@machine.get("/session", response_model=models.OwnSession, responses=refusals(*AUTH))
async def own_session(item: SessionDep, service: ServiceDep) -> Any:
    """The token's own session."""
    return _shown(service, item) | {"proof_nonce": proof_nonce(item)}


@machine.post("/session/heartbeat", response_model=Empty, responses=refusals(*AUTH, *BODY))
async def heartbeat(_: Empty, item: SessionDep) -> Any:
    """A sign of life; every other request with the token is one, too."""
    return {}


@machine.post("/session/progress", response_model=Empty, responses=refusals(*AUTH, *BODY))
async def progress(record: models.ProgressRecord, item: SessionDep, service: ServiceDep) -> Any:
    """The newest progress record, at most one a second, at most 16 KiB."""
    service.sessions.progress(item.id, record)
    return {}


@machine.post(
    "/session/postpone",
    response_model=Empty,
    responses=refusals(*AUTH, *BODY, "not_postponable"),
)
async def postpone(_: Empty, item: SessionDep, service: ServiceDep) -> Any:
    """Somebody at the machine wants it for himself: the planned backup ends, and is due again."""
    await service.runs.postpone(item)
    return {}


@machine.post("/session/result", response_model=Empty, responses=refusals(*AUTH, *BODY))
async def result(record: models.ResultRecord, item: SessionDep, service: ServiceDep) -> Any:
    """A job's last record, at most 512 KiB: result, error, or how it was killed."""
    await service.sessions.result(item.id, record)
    return {}


@admin.post(
    "/sessions",
    status_code=201,
    response_model=models.SessionView,
    responses=refusals(*_UNKNOWN, "session_exists", *BODY),
)
async def create_session(wanted: models.NewSession, note: NoteDep, service: ServiceDep) -> Any:
    """Ask for a session: the machine's next network boot leads into it."""
    note.about(wanted.machine, after=f"{wanted.verb} {wanted.image or ''}".rstrip())
    if VERBS[wanted.verb] != "nothing" and wanted.image is None:
        raise ServiceError("bad_request", f"image: a session for {wanted.verb} needs an image.")
    if wanted.job is not None:
        raise ServiceError("bad_request", "job: the job runner's socket takes it, not this one.")
    if wanted.version is not None and VERBS[wanted.verb] != "reads":
        raise ServiceError(
            "bad_request",
            f"version: a session for {wanted.verb} takes none.",
            f"Say the name of the image alone: {wanted.image}.",
        )
    made = await service.openings.open_session(
        wanted.machine,
        tuple(dict.fromkeys(wanted.macs)),
        wanted.verb,
        wanted.image,
        wanted.version,
        wanted.ttl_seconds,
        full_check=wanted.full_check,
    )
    return _shown(service, made)


@runner.post(
    "/sessions",
    status_code=201,
    response_model=models.SessionView,
    responses=refusals(*_UNKNOWN, "session_exists", "wrong_job", "no_such_job", *BODY),
)
async def create_session_of_job(wanted: models.NewSession, service: ServiceDep) -> Any:
    """Open the session of a job that the runner holds; MAC addresses are the job's own."""
    if wanted.job is None:
        raise ServiceError("wrong_job", "A session of the job runner needs its job.")
    made = await service.runs.open_session(
        wanted.job,
        wanted.machine,
        wanted.verb,
        wanted.image,
        wanted.version,
        wanted.ttl_seconds,
        wanted.full_check,
    )
    return _shown(service, made)


@admin.get("/sessions", response_model=models.SessionList, responses=refusals())
async def list_sessions(
    service: ServiceDep,
    state: models.State | None = None,
    machine: MachineName | None = None,
) -> Any:
    """All sessions of the last days, oldest first."""
    found = [
        item
        for item in service.sessions.all()
        if state in (None, item.state) and machine in (None, item.machine)
    ]
    return {"sessions": [_shown(service, item) for item in found]}


@admin.get("/sessions/{session_id}", **_ANY)
@runner.get("/sessions/{session_id}", **_OF_ITS_JOBS)
async def get_session(
    session_id: str,
    service: ServiceDep,
    wait: Annotated[float, Parameter(ge=0, le=25)] = 0,
    until: Literal["checked_in", "ended", "image_checked", "finished"] = "ended",
) -> Any:
    """One session; with ``wait`` the answer comes when the state is reached or time is up."""

    def reached(item: Session) -> bool:
        if until == "checked_in":
            return item.state != "requested"
        if until == "image_checked":
            return service.openings.is_image_checked(item)
        return finished(item) if until == "finished" else not item.open

    return _shown(service, await service.sessions.wait(session_id, reached, wait))


@admin.delete("/sessions/{session_id}", **_ANY)
@runner.delete("/sessions/{session_id}", **_OF_ITS_JOBS)
async def end_session(
    session_id: str,
    note: NoteDep,
    service: ServiceDep,
    outcome: Literal["done", "failed", "cancelled"] = "cancelled",
) -> Any:
    """End a session; its token dies at once. Ending an ended session changes nothing."""
    before = service.sessions.get(session_id)
    ended = await service.sessions.end(session_id, outcome)
    note.about(f"{before.machine}, session {session_id}", before.state, ended.outcome)
    return _shown(service, ended)
