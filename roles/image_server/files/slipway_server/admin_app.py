"""What root on the image server reaches through the admin socket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Response
from fastapi import Query as Parameter

from . import __version__, choice_app, models, registration_app, stranger_models
from .base import certificates
from .base.bodies import Bound
from .base.errors import ServiceError
from .base.times import iso
from .core import Core
from .http_common import CoreDep, make_app, refusals
from .sessions.session import Session

router = APIRouter(prefix="/v1")
_UNKNOWN = ("unknown_image", "unknown_version")
_BODY = ("bad_body", "too_long", "too_slow")
_NEEDS_IMAGE = ("backup", "restore", "verify")


@router.post(
    "/sessions",
    status_code=201,
    response_model=models.SessionView,
    responses=refusals(*_UNKNOWN, "session_exists", *_BODY),
)
async def create_session(wanted: models.NewSession, core: CoreDep) -> Any:
    """Ask for a session: the machine's next network boot leads into it."""
    if wanted.verb in _NEEDS_IMAGE and wanted.image is None:
        raise ServiceError("bad_request", f"image: a session for {wanted.verb} needs an image.")
    if wanted.job is not None:
        raise ServiceError("bad_request", "job: the job runner's socket takes it, not this one.")
    if wanted.version is not None and wanted.verb not in ("restore", "verify"):
        raise ServiceError("bad_request", f"version: a session for {wanted.verb} takes none.")
    made = await core.open_session(
        wanted.machine,
        tuple(dict.fromkeys(wanted.macs)),
        wanted.verb,
        wanted.image,
        wanted.version,
        wanted.ttl_seconds,
    )
    return core.view(made)


@router.get("/sessions", response_model=models.SessionList, responses=refusals())
async def list_sessions(core: CoreDep, state: models.State | None = None) -> Any:
    """All sessions of the last days, oldest first."""
    found = [item for item in core.sessions.all() if state in (None, item.state)]
    return {"sessions": [core.view(item) for item in found]}


@router.get(
    "/sessions/{session_id}",
    response_model=models.SessionView,
    responses=refusals("no_such_session"),
)
async def get_session(
    session_id: str,
    core: CoreDep,
    wait: Annotated[float, Parameter(ge=0, le=25)] = 0,
    until: Literal["checked_in", "ended", "image_checked"] = "ended",
) -> Any:
    """One session; with ``wait`` the answer comes when the state is reached or time is up."""

    def reached(item: Session) -> bool:
        if until == "checked_in":
            return item.state != "requested"
        return core.is_image_checked(item) if until == "image_checked" else not item.open

    return core.view(await core.sessions.wait(session_id, reached, wait))


@router.delete(
    "/sessions/{session_id}",
    response_model=models.SessionView,
    responses=refusals("no_such_session"),
)
async def end_session(
    session_id: str,
    core: CoreDep,
    outcome: Literal["done", "failed", "cancelled"] = "cancelled",
) -> Any:
    """End a session; its token dies at once. Ending an ended session changes nothing."""
    return core.view(await core.sessions.end(session_id, outcome))


@router.get("/strangers", response_model=stranger_models.StrangerList, responses=refusals())
async def list_strangers(core: CoreDep) -> Any:
    """Who asked for what is a machine's from an address that is not the machine's."""
    return {"strangers": core.strangers.all()}


@router.get("/images", response_model=models.ImageList, responses=refusals())
async def list_images(core: CoreDep) -> Any:
    """All images with all versions."""

    def collect() -> list[dict[str, Any]]:
        return [
            {"name": name, "versions": core.images.summaries(name)} for name in core.images.names()
        ]

    return {"images": await core.run(collect)}


@router.get("/images/{name}", response_model=models.Image, responses=refusals("unknown_image"))
async def get_image(name: models.ImageName, core: CoreDep) -> Any:
    """One image with all versions."""
    await core.run(core.images.resolve, name, None)
    return {"name": name, "versions": await core.run(core.images.summaries, name)}


@router.get(
    "/images/{name}/{version}",
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {}}}, "description": "the manifest"},
        **refusals(*_UNKNOWN, "store_failed"),
    },
)
async def get_manifest(name: models.ImageName, version: models.Version, core: CoreDep) -> Response:
    """A version's manifest, byte for byte as it was published."""
    return Response(await core.run(core.images.read, name, version), media_type="application/json")


@router.post(
    "/images/{name}/{version}/check",
    response_model=models.ImageCheck,
    responses=refusals(*_UNKNOWN),
)
async def check_image(name: models.ImageName, version: models.Version, core: CoreDep) -> Any:
    """Read every chunk of the version now, whatever was read before; answer when done."""
    await core.run(core.images.resolve, name, version)
    check = core.checker.start(name, version, full=True)
    await check.done.wait()
    return check.view()


@router.get("/status", response_model=models.Status, responses=refusals())
async def status(core: CoreDep) -> Any:
    """How the service is."""
    counts: dict[str, int] = {}
    for item in core.sessions.all():
        counts[item.state] = counts.get(item.state, 0) + 1
    room = await core.run(core.store.room)
    return {
        "version": __version__,
        "started": iso(core.started),
        "sessions": counts,
        "images": len(await core.run(core.images.names)),
        "store_free": room.free,
        "store_total": room.total,
        "store_reserve": core.config.store_reserve_bytes,
        "warnings": certificates.warnings(core.config, datetime.now(UTC)),
    }


def build(core: Core) -> FastAPI:
    """The administrator's application."""
    app = make_app(
        core, "Slipway image server, administration", lambda *_: Bound(needs_token=False)
    )
    app.include_router(router)
    app.include_router(choice_app.admin_router)
    app.include_router(registration_app.admin)
    return app
