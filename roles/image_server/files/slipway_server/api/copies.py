# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions between sites: read by another one, and brought here by what pulls from another."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from slipway.format.frames import MAX_FRAME

from ..base import files
from ..base.bodies import Body
from ..base.errors import ServiceError
from ..images.sites import Site
from ..service import Service
from .callers import SiteDep
from .chunks import FRAME, send_chunk
from .common import BODY, ServiceDep, refusals
from .models import copies as models
from .models.common import Digest, ImageName, Version
from .models.images import ImageList, Kept, Missing

site = APIRouter(prefix="/v1/site")
puller = APIRouter(prefix="/v1")
_MANIFEST: dict[str, Any] = {"application/json": {"schema": {}}}
_READ = ("bad_token", "wrong_image", "unknown_image", "unknown_version", "store_failed")


def _need_image(asks: Site, name: str) -> None:
    if not asks.may_read(name):
        raise ServiceError("wrong_image", f"{asks.name} may not read {name}: see policy_sites.")


@site.get("/images", response_model=ImageList, responses=refusals("bad_token"))
async def site_images(asks: SiteDep, service: ServiceDep) -> Any:
    """The images that the site may read, with all their versions."""

    def collect() -> list[dict[str, Any]]:
        names = service.sites.images(asks)
        return [{"name": each, "versions": service.images.summaries(each)} for each in names]

    return {"images": await service.run(collect)}


@site.get(
    "/images/{name}/{version}",
    response_class=Response,
    responses={200: {"content": _MANIFEST, "description": "the manifest"}, **refusals(*_READ)},
)
async def site_manifest(
    name: ImageName, version: Version, asks: SiteDep, service: ServiceDep
) -> Response:
    """A version's manifest, byte for byte as it was published."""
    _need_image(asks, name)
    return await _manifest(service, name, version)


@site.get(
    "/images/{name}/{version}/chunks/{digest}",
    response_class=Response,
    responses={
        200: {"content": FRAME, "description": "the frame"},
        **refusals(*_READ, "unknown_chunk"),
    },
)
async def site_chunk(
    name: ImageName, version: Version, digest: Digest, asks: SiteDep, service: ServiceDep
) -> Response:
    """A chunk of that version. Behind nginx the file is sent by nginx."""
    _need_image(asks, name)
    if digest not in await service.digest_sets.of_site(asks.name, name, version):
        raise ServiceError("wrong_image", f"{name}@{version} does not hold this chunk.")
    return await send_chunk(service, digest)


@puller.get("/copies/{name}", response_model=models.Taken, responses=refusals())
async def taken(name: ImageName, service: ServiceDep) -> Any:
    """The versions of an image that need not come: they are here, or were deleted."""
    return {"versions": await service.run(service.copies.versions, name)}


@puller.get(
    "/copies/{name}/{version}",
    response_class=Response,
    responses={
        200: {"content": _MANIFEST, "description": "the manifest"},
        **refusals("unknown_image", "unknown_version", "store_failed"),
    },
)
async def manifest(name: ImageName, version: Version, service: ServiceDep) -> Response:
    """The manifest of a version that is here."""
    return await _manifest(service, name, version)


@puller.post(
    "/copies/{name}/{version}/query",
    response_model=Missing,
    responses=refusals(*BODY, "is_alias", "name_taken", "store_failed"),
)
async def query(
    name: ImageName, version: Version, wanted: models.Digests, service: ServiceDep
) -> Any:
    """Which of these chunks of a version that comes have to be sent; the others are promised."""
    await service.run(service.copies.refuse_taken, name, version)
    service.copies.hear(name, version)
    return {"missing": await service.run(service.copies.missing, wanted.digests)}


@puller.put(
    "/copies/{name}/{version}/chunks/{digest}",
    status_code=201,
    response_model=Kept,
    responses={
        200: {"model": Kept, "description": "the store had it"},
        **refusals("too_long", "too_slow", "wrong_content", "store_failed", "store_full"),
    },
    openapi_extra={"requestBody": {"required": True, "content": FRAME}},
)
async def put_chunk(
    name: ImageName, version: Version, digest: Digest, request: Request, service: ServiceDep
) -> JSONResponse:
    """One chunk of a version that comes; it is verified before it is kept."""
    service.copies.hear(name, version)
    frame = await Body(request, MAX_FRAME).read()
    new = await service.run(service.copies.put, digest, frame)
    return JSONResponse({"digest": digest, "new": new}, 201 if new else 200)


@puller.post(
    "/copies/{name}/{version}",
    status_code=201,
    response_model=models.Adopted,
    responses={
        200: {"model": models.Adopted, "description": "it was here before"},
        **refusals(
            *BODY,
            "is_alias",
            "name_taken",
            "missing_chunks",
            "publish_failed",
            "bad_manifest",
            "store_failed",
            "store_full",
        ),
    },
    openapi_extra={"requestBody": {"required": True, "content": _MANIFEST}},
)
async def adopt(
    name: ImageName, version: Version, request: Request, service: ServiceDep
) -> JSONResponse:
    """A manifest becomes the version that it is elsewhere, once all its chunks are here."""
    await service.run(service.copies.refuse_taken, name, version)
    service.copies.hear(name, version)
    with await service.run(service.store.scratch) as body:
        try:
            await Body(request, service.config.max_manifest_bytes).save(body, service.run)
        except OSError as error:
            raise files.as_service_error(error, "The manifest") from error
        new = await service.publishing.adopt(name, version, body)
    service.copies.over(name, version)
    return JSONResponse({"name": name, "version": version}, 201 if new else 200)


@puller.post("/replications", status_code=204, responses=refusals(*BODY))
async def note(outcome: models.Replications, service: ServiceDep) -> None:
    """Say how pulling from each site went; those that are not named are no longer pulled from."""
    sites = {name: each.model_dump() for name, each in outcome.sites.items()}
    await service.upkeep.note_replication(sites)


async def _manifest(service: Service, name: str, version: str) -> Response:
    text = await service.run(service.images.read, name, version)
    return Response(text, media_type="application/json")
