# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules: what the server does by itself, and how each night ended."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from .. import charts
from ..asking import Ask
from ..service import Refused, path

_NIGHTS = 30


async def show_all(ask: Ask) -> Response:
    """All schedules."""
    return ask.show("schedules.html", schedules=await nights_of(ask))


async def nights_of(ask: Ask) -> list[dict[str, Any]]:
    """All schedules with their last nights as blocks; none if the policy can't be read."""
    try:
        found = (await ask.get(path("schedules")))["schedules"]
    except Refused:
        # What is wrong with it stands among the warnings.
        return []
    return [each | _drawn(each) for each in found]


def _drawn(schedule: dict[str, Any]) -> dict[str, Any]:
    columns = charts.nights(schedule["windows"], _NIGHTS)
    said = columns[-1].title if columns else "none yet"
    return {"columns": columns, "places": _NIGHTS, "said": said}


async def show(ask: Ask) -> Response:
    """One schedule: its machines, and how the last nights of each ended."""
    schedule = await ask.get(path("schedules", ask.at("schedule")))
    nights = [
        (each["key"], {one["machine"]: one for one in each["machines"]})
        for each in schedule["nights"]
    ]
    machines = sorted({name for _, ended in nights for name in ended} | set(schedule["machines"]))
    return ask.show(
        "schedule.html",
        schedule=schedule | _drawn(schedule),
        keys=[key for key, _ in nights],
        rows=[(name, [ended.get(name) for _, ended in nights]) for name in machines],
    )
