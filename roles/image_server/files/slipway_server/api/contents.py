# SPDX-License-Identifier: GPL-3.0-or-later
"""What a version holds, and who names it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..images.contents import names_of
from .callers import AS_ROOT
from .common import ServiceDep, refusals
from .models import contents as models
from .models.common import ImageName, Version

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


@admin.get(
    "/images/{name}/{version}/contents",
    response_model=models.Contents,
    responses=refusals("unknown_image", "unknown_version", "is_alias", "store_failed"),
)
async def contents(name: ImageName, version: Version, service: ServiceDep) -> Any:
    """The disks and partitions of a version, and who names it or its image."""
    name, version = await service.run(service.images.find, name, version)
    named = await service.naming.named()

    def collect() -> dict[str, Any]:
        aliases = service.aliases.under(service.policy.usable())
        disks = service.contents.of(name, version)
        return {"disks": disks, "named": names_of(named, aliases, name, version)}

    return await service.run(collect)
