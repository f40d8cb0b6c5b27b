# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks: which are missing, which are known to be sound, one to keep, one to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from slipway.format.frames import MAX_FRAME

from ..base.bodies import Body
from ..base.errors import ServiceError
from ..service import Service
from .callers import BackupDep, ReaderDep
from .common import AUTH, BACKUP, BODY, ServiceDep, refusals
from .models import images as models
from .models.common import Digest

machine = APIRouter(prefix="/v1")
maker = APIRouter(prefix="/v1")
FRAME = {"application/zstd": {"schema": {"type": "string", "format": "binary"}}}


@machine.post(
    "/chunks/query",
    response_model=models.Missing,
    responses=refusals(*BACKUP, "store_failed", "session_quota"),
)
async def query(wanted: models.Query, item: BackupDep, service: ServiceDep) -> Any:
    """Which of these chunks have to be sent?

    All but those of the session's own image, those that it has sent, and those that it proves to
    have: whether another image has a chunk is nothing that a name alone gets an answer to.
    """
    own = await service.digest_sets.of(item)
    proofs = wanted.proofs or []
    return {"missing": await service.run(service.claims.missing, item, own, wanted.digests, proofs)}


@machine.put(
    "/chunks/{digest}",
    status_code=201,
    response_model=models.Kept,
    responses={
        200: {"model": models.Kept, "description": "the store had it"},
        **refusals(*BACKUP, "wrong_content", "store_failed", "store_full", "session_quota"),
    },
    openapi_extra={"requestBody": {"required": True, "content": FRAME}},
)
async def put_chunk(
    digest: Digest, request: Request, item: BackupDep, service: ServiceDep
) -> JSONResponse:
    """One zstd frame that declares its content size; it is verified before it is kept."""
    service.claims.refuse_spent(item, digest)
    body = Body(request, MAX_FRAME)
    async with service.upload_slots.take(item.id, body):
        frame = await body.read()
        new = await service.run(service.claims.put, item, digest, frame)
    return JSONResponse({"digest": digest, "new": new}, 201 if new else 200)


@machine.get(
    "/chunks/{digest}",
    response_class=Response,
    responses={
        200: {"content": FRAME, "description": "the frame"},
        **refusals(*AUTH, "wrong_verb", "wrong_image", "unknown_chunk", "store_failed"),
    },
)
async def get_chunk(digest: Digest, item: ReaderDep, service: ServiceDep) -> Response:
    """A chunk of the session's version. Behind nginx the file is sent by nginx."""
    if digest not in await service.digest_sets.of(item):
        raise ServiceError("wrong_image", "The session's image does not hold this chunk.")
    return await send_chunk(service, digest)


async def send_chunk(service: Service, digest: str) -> Response:
    """A chunk's frame, or where nginx finds it."""
    if await service.run(service.store.fingerprint, digest) is None:
        raise ServiceError("unknown_chunk", f"The store has lost chunk {digest}.")
    if service.config.accel_redirect is None:
        return FileResponse(service.store.path(digest), media_type="application/zstd")
    target = f"{service.config.accel_redirect}/{service.store.relative(digest)}"
    return Response(media_type="application/zstd", headers={"X-Accel-Redirect": target})


@maker.post(
    "/chunks/sound",
    response_class=Response,
    responses={
        200: {"model": models.SoundChunks, "description": "those that are known"},
        **refusals(*BODY),
    },
)
async def sound(wanted: models.Chunks, service: ServiceDep) -> Response:
    """Which of these chunks were proven lately, and as what files?

    By a read of a check, or when they came, if a sync has brought them to the disk since. A file
    that is no longer like that is another one, of which nothing is known.
    """
    text = await service.run(_known, service, wanted.digests)
    return Response(text, media_type="application/json")


def _known(service: Service, digests: Iterable[str]) -> str:
    """Made to text in a thread: there may be thousands."""
    found = [
        {"digest": each.digest, "content_size": each.content_size} | each.fingerprint._asdict()
        for each in service.checker.known(digests)
    ]
    return json.dumps({"sound": found})
