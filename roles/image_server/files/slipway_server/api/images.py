# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: published by sessions, read by sessions, listed and checked for the administrator."""

from __future__ import annotations

import json
import time
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from slipway.format.names import ahead_warning

from ..base import files
from ..base.bodies import Body
from ..base.errors import ServiceError
from ..images import aliases
from ..images.catalog import Judged, Named
from ..images.media import Made
from ..images.policy import Policy
from ..service import Service
from ..sessions.session import Session
from .callers import AS_ROOT, BackupDep, ReaderDep, SessionDep
from .common import AUTH, BACKUP, ServiceDep, refusals
from .models import images as models
from .models.common import ImageName, Version

machine = APIRouter(prefix="/v1")
admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
page = APIRouter(prefix="/v1")
_UNKNOWN = ("unknown_image", "unknown_version")


def _need_image(item: Session, name: str, version: str | None = None) -> None:
    if item.image != name or (version is not None and item.version != version):
        wanted = name if version is None else f"{name}@{version}"
        raise ServiceError("wrong_image", f"This session is for {item.image}, not for {wanted}.")


def _ahead(image: str, version: str) -> str | None:
    return ahead_warning(image, version, datetime.now(UTC))


@machine.post(
    "/images/{name}",
    status_code=201,
    response_model=models.Published,
    responses={
        200: {"model": models.Published, "description": "this session published it before"},
        **refusals(
            *BACKUP,
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
    name: ImageName, request: Request, item: BackupDep, service: ServiceDep
) -> JSONResponse:
    """A manifest as FORMAT.md describes it becomes a version. A retry finds the same version."""
    _need_image(item, name)
    async with service.publishing.one_body_of(item.id):
        with await service.run(service.store.scratch) as body:
            try:
                digest = await Body(request, service.config.max_manifest_bytes).save(
                    body, service.run
                )
            except OSError as error:
                raise files.as_service_error(error, "The manifest") from error
            image, version, new = await service.publishing.publish(item.id, body, digest)
    if new and item.checked_in_at is not None:
        seconds = time.time() - item.checked_in_at
        await service.history.note_backup(item.machine, image, version, seconds)
    published = {"name": image, "version": version, "warning": _ahead(image, version)}
    return JSONResponse(published, 201 if new else 200)


@machine.get("/images", response_model=models.ImageList, responses=refusals(*AUTH))
async def images(item: SessionDep, service: ServiceDep) -> Any:
    """The session's image with all its versions; an empty list if it has none yet."""
    versions = await service.run(service.images.summaries, item.image) if item.image else []
    return {"images": [{"name": item.image, "versions": versions}] if versions else []}


@machine.get(
    "/images/{name}/{version}",
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {}}}, "description": "the manifest"},
        **refusals(
            *AUTH, "wrong_verb", "wrong_image", "unknown_image", "unknown_version", "store_failed"
        ),
    },
)
async def manifest(
    name: ImageName, version: Version, item: ReaderDep, service: ServiceDep
) -> Response:
    """The manifest of the session's version, byte for byte as it was published."""
    _need_image(item, name, version)
    return Response(
        await service.run(service.images.read, name, version), media_type="application/json"
    )


@admin.get(
    "/images",
    response_class=Response,
    responses={
        200: {"model": models.KeptImages, "description": "all images"},
        **refusals(),
    },
)
async def list_images(service: ServiceDep) -> Response:
    """All images with all versions, why each is kept, and until when."""
    named = await service.naming.named()
    return Response(
        await service.run(_all_as_text, service, named, (), {}), media_type="application/json"
    )


@page.get(
    "/images",
    response_class=Response,
    responses={
        200: {"model": models.ReadImages, "description": "all images that are read"},
        **refusals(),
    },
)
async def list_read_images(service: ServiceDep) -> Response:
    """All images, or those that are read so far: who looks at a page does not wait for minutes."""
    named, look = await service.naming.named(), service.first_look
    more = {"reading": look.progress()}
    text = await service.run(_all_as_text, service, named, look.unread(), more)
    return Response(text, media_type="application/json")


def _all_as_text(service: Service, named: Named, but: Container[str], more: dict[str, Any]) -> str:
    """Made to text in a thread, an image at a time: as objects 20,000 versions cost far more."""
    policy, made = service.policy.usable(), service.media.by_version()
    images = ",".join(
        json.dumps(_image(service, policy, versions[0].name, versions, made))
        for versions in service.catalog.judge_all(policy, named, datetime.now(UTC), but)
    )
    known = [aliases.view(name, each) for name, each in service.aliases.under(policy).items()]
    others = json.dumps({"aliases": known} | more)
    return f'{{"images":[{images}],{others[1:]}'


def _image(
    service: Service, policy: Policy, name: str, versions: list[Judged], made: Made
) -> dict[str, Any]:
    catalog = service.catalog
    return {
        "name": name,
        "note": catalog.note_of(policy, name),
        "versions": [
            catalog.view(policy, each)
            | {"media": [media.model_dump() for media in made.get((name, each.version), ())]}
            for each in versions
        ],
    }


@admin.get(
    "/images/{name}",
    response_model=models.KeptImage,
    responses=refusals("unknown_image", "is_alias", "policy_broken"),
)
async def get_image(name: ImageName, service: ServiceDep) -> Any:
    """One image with all versions; an alias shows the image that it stands for."""
    name, _ = await service.run(service.images.find, name, None)
    named = await service.naming.named()

    def collect() -> dict[str, Any]:
        policy = service.policy.usable()
        versions = service.catalog.judge(name, policy, named, datetime.now(UTC))
        return _image(service, policy, name, versions, service.media.by_version())

    return await service.run(collect)


@admin.get(
    "/images/{name}/{version}",
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {}}}, "description": "the manifest"},
        **refusals(*_UNKNOWN, "store_failed"),
    },
)
async def get_manifest(name: ImageName, version: Version, service: ServiceDep) -> Response:
    """A version's manifest, byte for byte as it was published."""
    return Response(
        await service.run(service.images.read, name, version), media_type="application/json"
    )
