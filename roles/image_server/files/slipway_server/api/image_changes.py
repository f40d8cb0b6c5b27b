# SPDX-License-Identifier: GPL-3.0-or-later
"""Images changed by the administrator: labels, copies, names, aliases, the trash."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from slipway.format.names import ImageRef, parse_image_ref

from ..base.errors import ServiceError
from ..base.times import iso
from ..images import aliases
from ..images.policy import MAX_NOTE
from ..service import Service
from .audited import NoteDep
from .callers import AS_ROOT, ByDep
from .common import BODY, ServiceDep, refusals
from .models import keeping as models
from .models.common import ImageName, Version
from .models.images import AliasView

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])
_UNKNOWN = ("unknown_image", "unknown_version")
_Reason = Annotated[str, Query(max_length=MAX_NOTE)]


@admin.delete(
    "/images/{name}",
    response_model=models.Versions,
    responses=refusals("unknown_image", "image_named", "policy_broken", "store_failed"),
)
async def delete_image(
    name: ImageName, by: ByDep, service: ServiceDep, reason: _Reason = ""
) -> Any:
    """Move an image with all of its versions to the trash, unless somebody names it."""
    return {"name": name, "versions": await service.changes.delete(name, None, by, reason)}


@admin.delete(
    "/images/{name}/{version}",
    response_model=models.Versions,
    responses=refusals(*_UNKNOWN, "image_named", "policy_broken", "store_failed"),
)
async def delete_version(
    name: ImageName, version: Version, by: ByDep, service: ServiceDep, reason: _Reason = ""
) -> Any:
    """Move a version to the trash, unless somebody names it."""
    return {"name": name, "versions": await service.changes.delete(name, version, by, reason)}


@admin.post(
    "/images/{name}/label",
    response_model=models.LabelView,
    responses=refusals(*BODY, *_UNKNOWN, "image_fixed", "policy_broken"),
)
async def label(
    name: ImageName, wanted: models.LabelRequest, by: ByDep, note: NoteDep, service: ServiceDep
) -> Any:
    """Note something, hold a version or let it go."""
    of = str(ImageRef(name, wanted.version))
    holds = {None: None, True: f"held: {wanted.reason}", False: "let go"}[wanted.hold]
    note.about(of, after=holds or f"note: {wanted.note}")
    said = await service.changes.label(
        name, wanted.version, wanted.note, wanted.hold, wanted.reason, by
    )
    return await service.run(_label_view, service, said)


def _label_view(service: Service, of: ImageRef) -> dict[str, Any]:
    policy = service.policy.usable()
    held = [] if of.version is None else service.catalog.holds(policy, of.name, of.version)
    note = service.catalog.note_of(policy, of.name, of.version)
    return {"image": str(of), "note": note, "held": held}


@admin.post(
    "/images/{name}/copy",
    response_model=models.Versions,
    responses=refusals(
        *BODY, *_UNKNOWN, "name_taken", "is_alias", "policy_broken", "store_failed", "store_full"
    ),
)
async def copy(
    name: ImageName, wanted: models.CopyRequest, note: NoteDep, service: ServiceDep
) -> Any:
    """Make an image of another name with a version, or the newest."""
    note.about(str(ImageRef(name, wanted.version)), after=wanted.to)
    versions = await service.changes.copy(name, wanted.version, wanted.to)
    return {"name": wanted.to, "versions": versions}


@admin.post(
    "/images/{name}/rename",
    response_model=models.Versions,
    responses=refusals(
        *BODY,
        *_UNKNOWN,
        "image_named",
        "name_taken",
        "is_alias",
        "policy_broken",
        "store_failed",
        "store_full",
    ),
)
async def rename(
    name: ImageName, wanted: models.CopyRequest, by: ByDep, note: NoteDep, service: ServiceDep
) -> Any:
    """Give an image, or a version alone, another name."""
    note.about(str(ImageRef(name, wanted.version)), name, wanted.to)
    versions = await service.changes.rename(name, wanted.version, wanted.to, by)
    return {"name": wanted.to, "versions": versions}


@admin.get("/aliases", response_model=models.AliasList, responses=refusals("policy_broken"))
async def list_aliases(service: ServiceDep) -> Any:
    """All aliases."""
    known = await service.run(service.aliases.all)
    return {"aliases": [aliases.view(name, each) for name, each in known.items()]}


@admin.post(
    "/aliases/{alias}",
    response_model=AliasView,
    responses=refusals(*BODY, *_UNKNOWN, "image_fixed", "is_alias", "name_taken", "policy_broken"),
)
async def set_alias(
    alias: ImageName, wanted: models.AliasRequest, note: NoteDep, service: ServiceDep
) -> Any:
    """Let a name stand for a version, or for the newest of an image."""
    note.about(alias, after=wanted.image)
    target = parse_image_ref(wanted.image)
    await service.changes.set_alias(alias, target)
    return aliases.view(alias, aliases.Alias(target, fixed=False))


@admin.delete(
    "/aliases/{alias}",
    response_model=models.AliasList,
    responses=refusals("unknown_alias", "image_fixed", "image_named", "policy_broken"),
)
async def drop_alias(alias: ImageName, service: ServiceDep) -> Any:
    """Forget an alias; those that are left."""
    await service.changes.drop_alias(alias)
    return await list_aliases(service)


@admin.get("/trash", response_model=models.TrashList, responses=refusals())
async def list_trash(service: ServiceDep) -> Any:
    """What was deleted, and until when it can be taken back."""

    def collect() -> list[dict[str, Any]]:
        seconds = service.policy.usable().trash_days * 86400
        return [
            {
                "name": name,
                "version": version,
                "at": iso(deletion.at),
                "by": deletion.by,
                "why": deletion.why,
                "goes": iso(deletion.at + seconds),
            }
            for name, version, deletion in service.images.trash.all()
        ]

    return {"trash": await service.run(collect)}


@admin.post(
    "/trash/undelete",
    response_model=models.Versions,
    responses=refusals(*BODY, "not_in_trash", "is_alias", "name_taken", "store_failed"),
)
async def undelete(wanted: models.TrashRequest, note: NoteDep, service: ServiceDep) -> Any:
    """Take a version, or all of an image, back."""
    note.about(str(ImageRef(wanted.name, wanted.version)))
    versions = await service.changes.undelete(wanted.name, wanted.version)
    return {"name": wanted.name, "versions": versions}


@admin.post("/trash/empty", response_model=models.TrashList, responses=refusals(*BODY))
async def empty_trash(wanted: models.EmptyRequest, service: ServiceDep) -> Any:
    """Remove versions for good; their chunks go with a later collection. What is left there."""
    if wanted.version is not None and wanted.name is None:
        raise ServiceError("bad_request", "version: needs a name.")
    await service.changes.empty(
        lambda name, version, _: wanted.name in (None, name) and wanted.version in (None, version)
    )
    return await list_trash(service)
