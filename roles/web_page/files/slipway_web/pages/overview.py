# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs somebody, and what goes on."""

from __future__ import annotations

from fastapi import Response

from ..asking import Ask
from ..service import path
from .jobs import running_now
from .schedules import nights_of


async def show(ask: Ask) -> Response:
    """The first page."""
    known = await ask.get(path("overview"))
    running = await running_now(ask)
    waiting = (await ask.get(path("registrations")))["registrations"]
    return ask.show(
        "overview.html",
        **known,
        running=running,
        schedules=await nights_of(ask),
        waiting=[each for each in waiting if each["state"] == "waiting"],
        status=await ask.get(path("status")),
    )
