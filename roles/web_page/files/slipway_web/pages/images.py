# SPDX-License-Identifier: GPL-3.0-or-later
"""Images, an image with its versions, and a version."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from ..asking import Ask
from ..lists import Column, asked, listed, paged
from ..service import Refused, path

_COLUMNS = (
    Column("name", "Image"),
    Column("versions", "Versions"),
    Column("newest", "Newest"),
    Column("size", "Size"),
    Column("stored", "Stored"),
)
_VERSION_COLUMNS = (
    Column("version", "Version", lambda row: row["version"]),
    Column("created", "Made", lambda row: row["created"]),
    Column("size", "Size", lambda row: row["bytes"]),
    Column("stored", "Stored", lambda row: row["stored"]),
    Column("goes", "Goes when", lambda row: row["goes_when"]),
)


async def show_all(ask: Ask) -> Response:
    """All images."""
    found = await ask.get(path("image-list"), **asked(ask.fields))
    shown = paged(found, found["images"], _COLUMNS, ask.fields)
    return ask.show("images.html", list=shown, reading=found["reading"])


async def show(ask: Ask) -> Response:
    """One image."""
    image = await ask.get(path("images", ask.at("image")))
    versions = listed(
        image["versions"],
        _VERSION_COLUMNS,
        ask.fields,
        lambda row: f"{row['version']} {row['machine']} {row['note']}",
    )
    return ask.show("image.html", image=image, list=versions)


async def show_version(ask: Ask) -> Response:
    """One version."""
    image, version = await find(ask, ask.at("image"), ask.at("version"))
    reference = f"{image['name']}@{version['version']}"
    return ask.show(
        "version.html",
        image=image,
        version=version,
        reference=reference,
        check=await check_of(ask, reference),
        **await _contents(ask, version, image["name"]),
    )


async def _contents(ask: Ask, version: dict[str, Any], image: str) -> dict[str, Any]:
    """Disks with their partitions, and who names the version."""
    try:
        return dict(await ask.get(path("images", image, version["version"], "contents")))
    except Refused:
        # A manifest that can't be read: the page says so, and shows what was known before.
        return {"disks": [], "named": []}


async def check_of(ask: Ask, reference: str) -> dict[str, Any] | None:
    """How the check of a version goes, or what the last one found; None: none was ordered."""
    found = await ask.get(path("images", *reference.partition("@")[::2], "check"))
    return _checked(found["check"])


def _checked(check: dict[str, Any] | None) -> dict[str, Any] | None:
    if check is None:
        return None
    total = check["bytes_total"]
    return check | {"percent": int(100 * check["bytes_done"] / total) if total else 0}


async def find(ask: Ask, name: str, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image and one of its versions; Refused if there is none."""
    image = await ask.get(path("images", name))
    for each in image["versions"]:
        if each["version"] == version:
            return image, each
    raise Refused(
        404,
        {
            "error": "unknown_version",
            "message": f"{image['name']} has no such version.",
            "remedy": "Look at the image: it may have been deleted.",
        },
    )
