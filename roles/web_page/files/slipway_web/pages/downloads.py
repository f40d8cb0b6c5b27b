# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and disks that were taken out of versions: how each goes, and the file itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Response

from ..asking import Ask
from ..lists import Column, listed
from ..service import path

_COLUMNS = (
    Column("created", "Ordered", lambda row: row["created"]),
    Column("image", "Image", lambda row: f"{row['image']}@{row['version']}"),
    Column("size", "Size", lambda row: row["size"]),
    Column("state", "State", lambda row: row["state"]),
    Column("by", "By", lambda row: row["by"]),
)
# nginx sends what lies there, and nobody reaches it but through an answer of ours.
_PLACE = "/internal/downloads/"


async def show_all(ask: Ask) -> Response:
    """What was ordered within a day."""
    rows = [_shown(each) for each in (await ask.get(path("downloads")))["downloads"]]
    return ask.show("downloads.html", list=listed(rows, _COLUMNS, ask.fields, _text))


async def show(ask: Ask) -> Response:
    """One, as it goes."""
    return ask.show("download.html", download=await state_of(ask, ask.at("download")))


async def state_of(ask: Ask, key: str) -> dict[str, Any]:
    """How one goes."""
    return _shown(await ask.get(path("downloads", key)))


async def send(ask: Ask) -> Response:
    """The file itself: nginx sends it."""
    place = await ask.act("POST", path("downloads", ask.at("download"), "take"))
    return sent(place)


def sent(place: dict[str, Any]) -> Response:
    """An answer that nginx replaces by the file, to be saved under its own name."""
    # A PC has named it: each character that means something is written in numbers.
    called = quote(place["called"].encode("utf-8", "replace"), safe="")
    return Response(
        headers={
            "X-Accel-Redirect": _PLACE + quote(place["place"]),
            "Content-Disposition": f"attachment; filename*=UTF-8''{called}",
            "Content-Type": "application/octet-stream",
        }
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    asked, total = row["asked"], row["total"]
    what = f"{asked['disk']} as {asked['format']}" if row["kind"] == "disk" else asked["path"]
    percent = int(100 * min(row["done"], total) / total) if total else None
    return row | {"what": what, "percent": percent, "partition": asked.get("partition", "")}


def _text(row: dict[str, Any]) -> str:
    return " ".join([row["image"], row["version"], row["what"], row["by"], row["state"]])
