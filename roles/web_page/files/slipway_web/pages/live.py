# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while a page is open, as server-sent events; without a script nobody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar

from fastapi import Response
from fastapi.responses import StreamingResponse

from ..asking import COOKIE, Ask
from ..service import Refused, ServiceDown, path
from .jobs import running_now, state_of

_TICK_SECONDS = 1.0
# A browser asks again by itself; whether it still may is looked at each time.
_LONGEST_SECONDS = 600.0
_QUIET_SECONDS = 15.0
_MOST = 300
_Parts = dict[str, str]


class _Streams:
    """How many there are, and what was made for any of them that sees the same."""

    count = 0
    made: ClassVar[dict[str, tuple[float, asyncio.Task[_Parts]]]] = {}


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


async def _now(ask: Ask) -> _Parts:
    """The parts of the page as they are now; twenty tabs cost what one does."""
    job, part = ask.fields.one("job"), ask.fields.one("part")
    wanted: Callable[[Ask], Awaitable[_Parts]] = _nothing
    if job:
        wanted = _job
    elif part == "running":
        wanted = _running
    # Others may not see what who has other groups sees.
    key = f"{wanted.__name__} {job} {ask.user.groups}"
    return await _shared(key, lambda: _parts(ask, wanted))


async def _shared(key: str, make: Callable[[], Awaitable[_Parts]]) -> _Parts:
    now = time.monotonic()
    for old, (at, _) in list(_Streams.made.items()):
        if now - at > _TICK_SECONDS / 2:
            del _Streams.made[old]
    if key not in _Streams.made:
        _Streams.made[key] = (now, asyncio.ensure_future(make()))
    # Who goes away ends his own stream, and not what others wait for.
    return await asyncio.shield(_Streams.made[key][1])


async def _parts(ask: Ask, wanted: Callable[[Ask], Awaitable[_Parts]]) -> _Parts:
    ask.stale = None
    try:
        found = await wanted(ask)
    except ServiceDown:
        ask.stale, found = time.time(), {}
    except Refused:
        # The job was forgotten; the page shows what it was.
        found = {}
    # To the minute, so that it is one event.
    return found | {"banner": ask.part("banner.html")}


async def _nothing(ask: Ask) -> _Parts:
    await ask.get(path("upkeep"))
    return {}


async def _job(ask: Ask) -> _Parts:
    known = await state_of(ask, ask.fields.one("job"))
    templates = {"job": "job_state.html", "output": "job_output.html"}
    return {name: ask.part(template, **known) for name, template in templates.items()}


async def _running(ask: Ask) -> _Parts:
    return {"running": ask.part("running.html", running=await running_now(ask))}


def _event(name: str, text: str) -> str:
    return (
        f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
    )
