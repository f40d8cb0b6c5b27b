# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: its room, what would be pruned, the trash, what was looked after."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from ..asking import Ask
from ..lists import Column, listed
from ..service import Refused, path

_COLUMNS = (
    Column("name", "Image", lambda row: row["name"]),
    Column("version", "Version", lambda row: row["version"]),
    Column("at", "Deleted", lambda row: row["at"]),
    Column("goes", "Goes for good", lambda row: row["goes"]),
)


async def show(ask: Ask) -> Response:
    """Everything about room."""
    trash = (await ask.get(path("trash")))["trash"]
    prune, problem = await _prune(ask)
    return ask.show(
        "store.html",
        status=await ask.get(path("status")),
        upkeep=await ask.get(path("upkeep")),
        prune=prune,
        problem=problem,
        list=listed(trash, _COLUMNS, ask.fields, _text),
    )


async def _prune(ask: Ask) -> tuple[dict[str, Any] | None, str]:
    try:
        return await ask.get(path("prune")), ""
    except Refused as error:
        # A policy that can't be read keeps everything, and the rest of the page tells no less.
        return None, f"{error.message} {error.remedy}"


def _text(row: dict[str, Any]) -> str:
    return " ".join([row["name"], row["version"], row["by"], row["why"]])
