# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of versions: for root with an answer when done, for the page at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from .callers import AS_ROOT, ByDep
from .common import ServiceDep, refusals
from .models import images as models
from .models.common import ImageName, Version

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
page = APIRouter(prefix="/v1")
_UNKNOWN = ("unknown_image", "unknown_version", "is_alias")


@admin.post(
    "/images/{name}/{version}/check",
    response_model=models.OrderedCheck,
    responses=refusals(*_UNKNOWN, "already_runs"),
)
async def check_image(name: ImageName, version: Version, by: ByDep, service: ServiceDep) -> Any:
    """Read every chunk of the version now, whatever was read before; answer when done."""
    name, version = await service.run(service.images.find, name, version)
    ordered = await service.ordered_checks.begin(name, version, by)
    await ordered.noted.wait()
    return ordered.view()


@page.post(
    "/images/{name}/{version}/check",
    status_code=202,
    response_model=models.OrderedCheck,
    responses=refusals(*_UNKNOWN, "already_runs"),
)
async def begin_check(name: ImageName, version: Version, by: ByDep, service: ServiceDep) -> Any:
    """Begin to read every chunk of the version, or join who does; how it goes is asked for."""
    name, version = await service.run(service.images.find, name, version)
    return (await service.ordered_checks.begin(name, version, by)).view()


@admin.get(
    "/images/{name}/{version}/check",
    response_model=models.LastCheck,
    responses=refusals(*_UNKNOWN),
)
async def last_check(name: ImageName, version: Version, service: ServiceDep) -> Any:
    """How the check of a version that somebody ordered goes, or what the last one found."""
    name, version = await service.run(service.images.find, name, version)
    return {"check": service.ordered_checks.of(name, version)}
