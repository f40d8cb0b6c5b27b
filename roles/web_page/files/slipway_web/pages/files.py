# SPDX-License-Identifier: GPL-3.0-or-later
"""What a version holds, folder by folder."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import Any

from fastapi import Response

from ..asking import Ask
from ..lists import Column, listed
from ..service import Refused, path

_COLUMNS = (
    Column("name", "Name", lambda row: row["name"]),
    Column("size", "Size", lambda row: row["size"]),
    Column("modified", "Modified", lambda row: row["modified"]),
)


async def show(ask: Ask) -> Response:
    """A folder, or the partitions."""
    return ask.show("files.html", **await state_of(ask, ask.at("image"), ask.at("version")))


async def state_of(ask: Ask, image: str, version: str) -> dict[str, Any]:
    """What is shown of a folder. What can't be read is said on its page: the way back is there."""
    # As its file system has it: a name may begin or end with a space.
    where = {"partition": ask.fields.one("partition"), "path": ask.fields.raw("path") or "/"}
    found, problem = await _look(ask, image, version, where)
    rows = [
        each | {"path": posixpath.join(where["path"], each["name"])}
        for each in found.get("entries", [])
    ]
    shown = listed(rows, _COLUMNS, ask.fields, lambda row: str(row["name"]))
    return {
        "image": image,
        "version": version,
        "found": found,
        "problem": problem,
        "list": dataclasses.replace(shown, query=shown.query | where),
        "trail": _trail(where["path"]),
    }


async def _look(
    ask: Ask, image: str, version: str, where: dict[str, str]
) -> tuple[dict[str, Any], str]:
    """What the service says of a place, or why it can't be looked at."""
    try:
        return await ask.get(path("images", image, version, "files"), **where), ""
    except Refused as error:
        return {"state": "read", "kind": None} | where, f"{error.message} {error.remedy}"


def _trail(place: str) -> list[tuple[str, str]]:
    """Each folder above, with its name."""
    found, here = [("/", "/")], ""
    for name in [each for each in place.split("/") if each]:
        here += f"/{name}"
        found.append((here, name))
    return found
