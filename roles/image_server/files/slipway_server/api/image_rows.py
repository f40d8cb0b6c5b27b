# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of images as the page shows it: a row an image, cut into pages here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter
from fastapi import Query as Parameter

from ..images import aliases
from ..images.newest import Summary
from ..service import Service
from .common import ServiceDep, refusals
from .listing import Asked, listed
from .models import images as models
from .reach import Reach, ReachDep

page = APIRouter(prefix="/v1")


class _Row(NamedTuple):
    """What is known of an image."""

    name: str
    note: str
    image: Summary
    aliases: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """What a filter looks at."""
        return " ".join((self.name, self.note, *(each["alias"] for each in self.aliases)))


_SORTED_BY: dict[str, Callable[[_Row], Any]] = {
    "name": lambda row: row.name,
    "versions": lambda row: row.image.versions,
    "newest": lambda row: row.image.first.created,
    "size": lambda row: row.image.first.bytes,
    "stored": lambda row: row.image.stored,
}


@page.get("/image-list", response_model=models.ImageRows, responses=refusals())
async def list_rows(
    asked: Annotated[Asked, Parameter()], reach: ReachDep, service: ServiceDep
) -> Any:
    """Images by name, unless something else is asked for; those that are read so far."""
    rows = await service.run(_rows, service, reach)
    found = await service.run(listed, rows, asked, _SORTED_BY, lambda row: row.text)
    shown = [_shown(row) for row in found.rows]
    return found.said() | {"images": shown, "reading": service.first_look.progress()}


def _rows(service: Service, reach: Reach) -> list[_Row]:
    policy, known = service.policy.usable(), service.newest.images(reach.sees)
    standing: dict[str, list[dict[str, Any]]] = {}
    for alias, each in service.aliases.under(policy).items():
        if reach.sees(alias):
            standing.setdefault(each.target.name, []).append(aliases.view(alias, each))
    return [
        _Row(name, service.catalog.note_of(policy, name), image, standing.get(name, []))
        for name, image in sorted(known.items())
    ]


def _shown(row: _Row) -> Mapping[str, Any]:
    return {
        "name": row.name,
        "note": row.note,
        "versions": row.image.versions,
        "newest": row.image.first._asdict(),
        "stored": row.image.stored,
        "aliases": row.aliases,
    }
