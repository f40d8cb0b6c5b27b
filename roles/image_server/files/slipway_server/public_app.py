"""What machines reach through nginx: the boot script in clear, everything else behind TLS."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from slipway.format.frames import MAX_FRAME
from slipway.format.names import ahead_warning

from . import choice_app, models, registration_app, registration_models
from .base import files
from .base.bodies import Body, Bound
from .base.errors import ServiceError
from .core import Core
from .http_common import CoreDep, TokenDep, make_app, peer, refusals
from .sessions.session import Session
from .transfers import claims

router = APIRouter()
# Text in JSON may take three times the bytes that it has in UTF-8.
_BOUNDS = {
    "/v1/checkin": Bound(4 * models.MAX_HARDWARE, 1 << 13, needs_token=False),
    "/v1/choices": Bound(4 * models.MAX_HARDWARE, 1 << 13, needs_token=False),
    "/v1/pending": Bound(1 << 12, 1 << 6, needs_token=False),
    "/v1/registrations": Bound(8 * registration_models.MAX_HARDWARE, 1 << 12, needs_token=False),
    "/v1/session/heartbeat": Bound(1 << 10, 1 << 4),
    "/v1/session/progress": Bound(4 * models.MAX_PROGRESS, 1 << 12),
    "/v1/chunks/query": Bound(128 * models.MAX_QUERY, 3 * models.MAX_QUERY),
}
# Other methods need no body; a short one does no harm.
_NO_BODY = Bound(1 << 10, 1 << 4, needs_token=False)
_STREAMED = re.compile(r"/v1/(chunks|images)/[^/]*\Z")
_BOOT_MAC = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}\Z")
_AUTH = ("bad_token", "session_ended")
_BODY = ("bad_body", "too_long", "too_slow")
_BACKUP = (*_AUTH, *_BODY, "wrong_verb")
_FRAME = {"application/zstd": {"schema": {"type": "string", "format": "binary"}}}


async def current_session(
    core: CoreDep,
    token: TokenDep,
) -> Session:
    """The session of the request's token."""
    return await core.sessions.authenticate(token)


SessionDep = Annotated[Session, Depends(current_session)]


def _session_for(*verbs: str) -> Callable[[Session], Awaitable[Session]]:
    async def check(item: SessionDep) -> Session:
        if item.verb not in verbs:
            raise ServiceError(
                "wrong_verb", f"A session for {item.verb} can't do this: {' or '.join(verbs)} can."
            )
        return item

    return check


BackupDep = Annotated[Session, Depends(_session_for("backup"))]
ReaderDep = Annotated[Session, Depends(_session_for("restore", "verify"))]


def _need_image(item: Session, name: str, version: str | None = None) -> None:
    if item.image != name or (version is not None and item.version != version):
        wanted = name if version is None else f"{name}@{version}"
        raise ServiceError("wrong_image", f"This session is for {item.image}, not for {wanted}.")


@router.get(
    "/boot/{mac}.ipxe",
    response_class=PlainTextResponse,
    responses=refusals("no_boot_script"),
    summary="The script that boots a MAC into what is asked of it",
)
async def boot(mac: str, request: Request, core: CoreDep) -> PlainTextResponse:
    """A pending session's script, or, once, that of an order; nginx answers a 404 with the menu.

    For the machine alone: whoever asks from another address gets the 404.
    """
    script = None
    if _BOOT_MAC.match(mac):
        script = await core.arrivals.boot_script(mac.replace("-", ":"), peer(request))
    if script is None:
        raise ServiceError("no_boot_script", "Nothing is asked of this MAC address.")
    return PlainTextResponse(script, headers={"Cache-Control": "no-store"})


@router.post(
    "/v1/checkin",
    response_model=models.CheckInAnswer,
    responses=refusals(
        "no_such_session",
        "already_checked_in",
        "session_ended",
        "wrong_address",
        "no_ticket",
        "another_machine",
        *_BODY,
    ),
)
async def check_in(report: models.CheckInRequest, request: Request, core: CoreDep) -> Any:
    """Bind the session to this machine and get its token, once."""
    item, token = await core.arrivals.check_in(report, peer(request))
    brief = {"id": item.id} | {
        key: getattr(item, key) for key in ("machine", "verb", "image", "version")
    }
    return JSONResponse({"token": token, "session": brief}, headers={"Cache-Control": "no-store"})


@router.post("/v1/pending", response_model=models.Pending, responses=refusals(*_BODY))
async def pending(asks: models.PendingRequest, request: Request, core: CoreDep) -> Any:
    """Does a session wait for this machine, which stayed in the environment after its last one?"""
    item = await core.arrivals.pending(asks.macs, asks.nonce, asks.host_key, peer(request))
    return {"session": None if item is None else item.id}


@router.get("/v1/session", response_model=models.OwnSession, responses=refusals(*_AUTH))
async def own_session(item: SessionDep, core: CoreDep) -> Any:
    """The token's own session."""
    return core.view(item) | {"proof_nonce": claims.nonce(item)}


@router.post(
    "/v1/session/heartbeat", response_model=models.Empty, responses=refusals(*_AUTH, *_BODY)
)
async def heartbeat(_: models.Empty, item: SessionDep) -> Any:
    """A sign of life; every other request with the token is one, too."""
    return {}


@router.post(
    "/v1/session/progress", response_model=models.Empty, responses=refusals(*_AUTH, *_BODY)
)
async def progress(record: models.ProgressRecord, item: SessionDep, core: CoreDep) -> Any:
    """The newest progress record, at most one a second, at most 16 KiB."""
    core.sessions.progress(item.id, record)
    return {}


@router.post("/v1/session/result", response_model=models.Empty, responses=refusals(*_AUTH, *_BODY))
async def result(record: models.ResultRecord, item: SessionDep, core: CoreDep) -> Any:
    """The final result or error record, at most 512 KiB."""
    await core.sessions.update(item.id, result=record)
    return {}


@router.post(
    "/v1/chunks/query",
    response_model=models.Missing,
    responses=refusals(*_BACKUP, "store_failed", "session_quota"),
)
async def query(wanted: models.Query, item: BackupDep, core: CoreDep) -> Any:
    """Which of these chunks have to be sent?

    All but those of the session's own image, those that it has sent, and those that it proves to
    have: whether another image has a chunk is nothing that a name alone gets an answer to.
    """
    own = await core.digest_sets.of(item)
    proofs = wanted.proofs or []
    return {"missing": await core.run(core.claims.missing, item, own, wanted.digests, proofs)}


@router.put(
    "/v1/chunks/{digest}",
    status_code=201,
    response_model=models.Kept,
    responses={
        200: {"model": models.Kept, "description": "the store had it"},
        **refusals(*_BACKUP, "wrong_content", "store_failed", "store_full", "session_quota"),
    },
    openapi_extra={"requestBody": {"required": True, "content": _FRAME}},
)
async def put_chunk(
    digest: models.Digest, request: Request, item: BackupDep, core: CoreDep
) -> JSONResponse:
    """One zstd frame that declares its content size; it is verified before it is kept."""
    core.claims.refuse_spent(item, digest)
    body = Body(request, MAX_FRAME)
    async with core.upload_slots.take(item.id, body):
        frame = await body.read()
        new = await core.run(core.claims.put, item, digest, frame)
    return JSONResponse({"digest": digest, "new": new}, 201 if new else 200)


@router.get(
    "/v1/chunks/{digest}",
    response_class=Response,
    responses={
        200: {"content": _FRAME, "description": "the frame"},
        **refusals(*_AUTH, "wrong_verb", "wrong_image", "unknown_chunk", "store_failed"),
    },
)
async def get_chunk(digest: models.Digest, item: ReaderDep, core: CoreDep) -> Response:
    """A chunk of the session's version. Behind nginx the file is sent by nginx."""
    if digest not in await core.digest_sets.of(item):
        raise ServiceError("wrong_image", "The session's image does not hold this chunk.")
    if await core.run(core.store.fingerprint, digest) is None:
        raise ServiceError("unknown_chunk", f"The store has lost chunk {digest}.")
    if core.config.accel_redirect is None:
        return FileResponse(core.store.path(digest), media_type="application/zstd")
    target = f"{core.config.accel_redirect}/{core.store.relative(digest)}"
    return Response(media_type="application/zstd", headers={"X-Accel-Redirect": target})


@router.post(
    "/v1/images/{name}",
    status_code=201,
    response_model=models.Published,
    responses={
        200: {"model": models.Published, "description": "this session published it before"},
        **refusals(
            *_BACKUP,
            "wrong_image",
            "missing_chunks",
            "already_published",
            "publish_failed",
            "publish_refused",
            "bad_manifest",
            "store_failed",
            "store_full",
        ),
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}
    },
)
async def publish(
    name: models.ImageName, request: Request, item: BackupDep, core: CoreDep
) -> JSONResponse:
    """A manifest as FORMAT.md describes it becomes a version. A retry finds the same version."""
    _need_image(item, name)
    async with core.one_body_of(item.id):
        with await core.run(core.store.scratch) as body:
            try:
                digest = await Body(request, core.config.max_manifest_bytes).save(body, core.run)
            except OSError as error:
                raise files.as_service_error(error, "The manifest") from error
            image, version, new = await core.publish(item.id, body, digest)
    published = {"name": image, "version": version, "warning": _ahead(image, version)}
    return JSONResponse(published, 201 if new else 200)


@router.get("/v1/images", response_model=models.ImageList, responses=refusals(*_AUTH))
async def images(item: SessionDep, core: CoreDep) -> Any:
    """The session's image with all its versions; an empty list if it has none yet."""
    versions = await core.run(core.images.summaries, item.image) if item.image else []
    return {"images": [{"name": item.image, "versions": versions}] if versions else []}


@router.get(
    "/v1/images/{name}/{version}",
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {}}}, "description": "the manifest"},
        **refusals(
            *_AUTH, "wrong_verb", "wrong_image", "unknown_image", "unknown_version", "store_failed"
        ),
    },
)
async def manifest(
    name: models.ImageName, version: models.Version, item: ReaderDep, core: CoreDep
) -> Response:
    """The manifest of the session's version, byte for byte as it was published."""
    _need_image(item, name, version)
    return Response(await core.run(core.images.read, name, version), media_type="application/json")


def _ahead(image: str, version: str) -> str | None:
    return ahead_warning(image, version, datetime.now(UTC))


def _bound_of(method: str, path: str) -> Bound | None:
    if method in ("PUT", "POST") and path != "/v1/chunks/query" and _STREAMED.match(path):
        return None
    return _BOUNDS.get(path, Bound()) if method == "POST" else _NO_BODY


def build(core: Core) -> FastAPI:
    """The public application."""
    app = make_app(core, "Slipway image server", _bound_of)
    app.include_router(router)
    app.include_router(choice_app.public_router)
    app.include_router(registration_app.public)
    return app
