# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while a page is open, as server-sent events; without a script nobody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Response
from fastapi.responses import StreamingResponse

from ..asking import COOKIE, Ask
from ..service import Refused, ServiceDown, path
from .jobs import state_of

_TICK_SECONDS = 1.0
# A browser asks again by itself; whether it still may is looked at each time.
_LONGEST_SECONDS = 600.0
_QUIET_SECONDS = 15.0
_MOST = 300


class _Streams:
    """How many there are."""

    count = 0


async def stream(ask: Ask) -> Response:
    """Whether the service answers, and how the job of the page goes."""
    if _Streams.count >= _MOST:
        return ask.trouble(503, "Too many pages are open.", "Nothing was changed.", "Close some.")
    # nginx must not wait for more.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_events(ask), media_type="text/event-stream", headers=headers)


async def _events(ask: Ask) -> AsyncIterator[str]:
    _Streams.count += 1
    try:
        began, said, quiet = time.monotonic(), dict[str, str](), 0.0
        while time.monotonic() - began < _LONGEST_SECONDS and _still_signed_in(ask):
            for name, text in (await _now(ask)).items():
                if said.get(name) != text:
                    said[name], quiet = text, 0.0
                    yield _event(name, text)
            if quiet >= _QUIET_SECONDS:
                quiet = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(_TICK_SECONDS)
            quiet += _TICK_SECONDS
        if not _still_signed_in(ask):
            yield _event("end", "")
    finally:
        _Streams.count -= 1


def _still_signed_in(ask: Ask) -> bool:
    return ask.site.sign_ins.of(ask.request.cookies.get(COOKIE, ""), seen=False) is not None


async def _now(ask: Ask) -> dict[str, str]:
    """The parts of the page as they are now."""
    ask.stale, found, job = None, {}, ask.fields.one("job")
    try:
        if job:
            found["job"] = ask.part("job_state.html", **await state_of(ask, job))
        else:
            await ask.get(path("upkeep"))
    except ServiceDown:
        ask.stale = time.time()
    except Refused:
        # The job was forgotten; the page shows what it was.
        pass
    # To the minute, so that it is one event.
    return found | {"banner": ask.part("banner.html")}


def _event(name: str, text: str) -> str:
    return (
        f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
    )
