# SPDX-License-Identifier: GPL-3.0-or-later
"""What versions hold, looked into and taken out: folders, single files, whole disks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Query as Parameter

from .audited import NoteDep
from .callers import ByDep
from .common import BODY, ServiceDep, refusals
from .models import downloads as models
from .models.common import ImageName, Version

page = APIRouter(prefix="/v1")
_UNKNOWN = ("unknown_image", "unknown_version", "is_alias")
_READER = ("not_readable", "reader_down", "no_reader")
_MOST_TOLD = 200


@page.get(
    "/images/{name}/{version}/files",
    response_class=Response,
    responses={
        200: {"model": models.Listing, "description": "a folder, or what a file is"},
        **refusals(*_UNKNOWN, *_READER, "too_many"),
    },
)
async def files(
    name: ImageName,
    version: Version,
    service: ServiceDep,
    partition: Annotated[str, Parameter(pattern=models.PARTITION)] = "",
    path: Annotated[str, Parameter(pattern=models.PATH, max_length=models.MAX_PATH)] = "/",
) -> Response:
    """What a folder holds; ``being read``: ask again in a moment."""
    name, version = await service.run(service.images.find, name, version)
    found = await service.browsing.look(f"{name}@{version}", partition, path)
    if found is None:
        waits = models.Listing(state="being read", path=path, partition=partition)
        found = waits.model_dump_json()
    return Response(found, media_type="application/json")


@page.post(
    "/images/{name}/{version}/downloads",
    status_code=201,
    response_model=models.DownloadView,
    responses=refusals(*BODY, *_UNKNOWN, "too_many_downloads"),
)
async def order_download(
    name: ImageName,
    version: Version,
    wanted: models.WantedDownload,
    by: ByDep,
    note: NoteDep,
    service: ServiceDep,
) -> Any:
    """Order a file or a disk of a version; it is made in the background."""
    asked = wanted.asked()
    told = " ".join([wanted.kind, *(each for each in asked.values() if isinstance(each, str))])
    note.about(f"{name}@{version}", after=told[:_MOST_TOLD])
    name, version = await service.run(service.images.find, name, version)
    return (await service.downloads.order(wanted.kind, name, version, asked, by)).view()


@page.get("/downloads", response_model=models.DownloadList, responses=refusals())
async def list_downloads(service: ServiceDep) -> Any:
    """What was ordered, the newest first."""
    return {"downloads": [each.view() for each in service.downloads.all()]}


@page.get(
    "/downloads/{key}",
    response_model=models.DownloadView,
    responses=refusals("no_such_download"),
)
async def get_download(key: str, service: ServiceDep) -> Any:
    """How one goes."""
    return service.downloads.get(key).view()


@page.post(
    "/downloads/{key}/take",
    response_model=models.Place,
    responses=refusals("no_such_download", "not_ready"),
)
async def take_download(key: str, note: NoteDep, service: ServiceDep) -> Any:
    """Where the web server finds it, for one who fetches it now."""
    found = service.downloads.ready(key)
    note.about(f"{found.image}@{found.version}", after=found.called[:_MOST_TOLD])
    return {"place": f"{found.id}/{found.file}", "called": found.called, "size": found.size}


@page.delete(
    "/downloads/{key}",
    response_model=models.DownloadView,
    responses=refusals("no_such_download"),
)
async def drop_download(key: str, note: NoteDep, service: ServiceDep) -> Any:
    """Remove it from the server; one that is being made ends."""
    found = service.downloads.get(key)
    note.about(f"{found.image}@{found.version}", before=found.state)
    return (await service.downloads.drop(key)).view()
