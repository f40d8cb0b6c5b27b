# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: its room, what would be pruned, the trash, what was looked after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import Response

from .. import charts, words
from ..asking import Ask
from ..lists import Column, listed
from ..service import Refused, path

_COLUMNS = (
    Column("name", "Image", lambda row: row["name"]),
    Column("version", "Version", lambda row: row["version"]),
    Column("at", "Deleted", lambda row: row["at"]),
    Column("goes", "Goes for good", lambda row: row["goes"]),
)


# A plan is one of all versions, or none.
_READING = "The control service still reads its manifests. Look again when it has."
_DAYS = 90
RULES = ("last", "daily", "weekly", "monthly", "yearly")


async def show(ask: Ask) -> Response:
    """Everything about room."""
    trash = (await ask.get(path("trash")))["trash"]
    upkeep = await ask.get(path("upkeep"))
    prune, problem = (None, _READING) if upkeep["reading"] else await _prune(ask)
    return ask.show(
        "store.html",
        status=await ask.get(path("status")),
        upkeep=upkeep,
        reading=upkeep["reading"],
        room=_drawn((await ask.get(path("room")))["days"]),
        prune=prune,
        problem=problem,
        list=listed(trash, _COLUMNS, ask.fields, _text),
    )


@dataclass(frozen=True)
class Room:
    """The room in use, drawn over the last days."""

    curve: charts.Curve
    most: int
    said: str


def _drawn(days: Sequence[dict[str, Any]]) -> Room | None:
    """None before there are two days: one is no line."""
    if len(days) < 2:
        return None
    last = date.fromisoformat(days[-1]["day"])
    points = [
        (float(_DAYS - 1 - (last - date.fromisoformat(each["day"])).days), float(each["used"]))
        for each in days
    ]
    most = max(each["total"] for each in days)
    first, newest = days[0], days[-1]
    said = (
        f"{words.size(first['used'])} in use on {first['day']}, "
        f"{words.size(newest['used'])} on {newest['day']}"
    )
    return Room(charts.curve(points, _DAYS - 1, most), most, said)


async def rules(ask: Ask) -> Response:
    """What other numbers would remove; nothing is kept of them."""
    numbers = {name: ask.fields.one(name) for name in RULES}
    plan, problem = None, ""
    said = {name: text for name, text in numbers.items() if text}
    if any(not (text.isascii() and text.isdigit() and len(text) < 5) for text in said.values()):
        problem = "Say how many: whole numbers from 0 to 9999."
    elif said and (await ask.get(path("upkeep")))["reading"]:
        problem = _READING
    elif said:
        try:
            plan = await ask.get(path("prune", "with"), **said)
        except Refused as error:
            problem = error.message
    freed = sum(each["own"] or 0 for each in plan["remove"]) if plan else 0
    return ask.show("rules.html", numbers=numbers, plan=plan, problem=problem, freed=freed)


async def _prune(ask: Ask) -> tuple[dict[str, Any] | None, str]:
    try:
        return await ask.get(path("prune")), ""
    except Refused as error:
        # A policy that can't be read keeps everything, and the rest of the page tells no less.
        return None, f"{error.message} {error.remedy}"


def _text(row: dict[str, Any]) -> str:
    return " ".join([row["name"], row["version"], row["by"], row["why"]])
