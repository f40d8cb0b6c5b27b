# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while a page is open, as server-sent events; without a script nobody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import ClassVar

from fastapi import Response
from fastapi.responses import StreamingResponse

from ..asking import COOKIE, Ask
from ..config import Role
from ..service import Refused, ServiceDown, path
from . import downloads, files
from .images import check_of
from .jobs import running_now, state_of

_TICK_SECONDS = 1.0
# A browser asks again by itself; whether it still may is looked at each time.
_LONGEST_SECONDS = 600.0
_QUIET_SECONDS = 15.0
_MOST = 300
_Parts = dict[str, str]
_Wanted = Callable[[Ask], Awaitable[_Parts]]


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
    # Others may not see what who has other groups sees, nor do what another role may.
    whose = f"{ask.user.role} {ask.user.groups}"
    for name, (role, wanted) in _WANTED.items():
        if ask.fields.one(name) and ask.user.may(role):
            return await _shared(f"{name} {ask.fields.all()} {whose}", partial(_parts, ask, wanted))
    wanted = _OF_PAGES.get(ask.fields.one("part"), _nothing)
    return await _shared(f"{wanted.__name__} {whose}", partial(_parts, ask, wanted))


async def _shared(key: str, make: Callable[[], Awaitable[_Parts]]) -> _Parts:
    now = time.monotonic()
    for old, (at, _) in list(_Streams.made.items()):
        if now - at > _TICK_SECONDS / 2:
            del _Streams.made[old]
    if key not in _Streams.made:
        _Streams.made[key] = (now, asyncio.ensure_future(make()))
    # Who goes away ends his own stream, and not what others wait for.
    return await asyncio.shield(_Streams.made[key][1])


async def _parts(ask: Ask, wanted: _Wanted) -> _Parts:
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


_OF_A_JOB = {
    "job": "job_state.html",
    "output": "job_output.html",
    "times": "job_times.html",
    "actions": "job_actions.html",
}


async def _job(ask: Ask) -> _Parts:
    known = await state_of(ask, ask.fields.one("job"))
    return {name: ask.part(template, **known) for name, template in _OF_A_JOB.items()}


async def _running(ask: Ask) -> _Parts:
    running = await running_now(ask)
    templates = {"running": "running.html", "at_work": "at_work.html"}
    return {name: ask.part(template, running=running) for name, template in templates.items()}


async def _check(ask: Ask) -> _Parts:
    reference = ask.fields.one("check")
    found = await check_of(ask, reference)
    return (
        {}
        if found is None
        else {"check": ask.part("check_state.html", check=found, reference=reference)}
    )


async def _store(ask: Ask) -> _Parts:
    return {"upkeep": ask.part("upkeep_state.html", upkeep=await ask.get(path("upkeep")))}


async def _download(ask: Ask) -> _Parts:
    found = await downloads.state_of(ask, ask.fields.one("download"))
    return {"download": ask.part("download_state.html", download=found)}


async def _files(ask: Ask) -> _Parts:
    image, _, version = ask.fields.one("files").partition("@")
    return {"files": ask.part("files_list.html", **await files.state_of(ask, image, version))}


# What a page may follow: something that it names, for whom, or what goes on as a whole.
_WANTED: dict[str, tuple[Role, _Wanted]] = {
    "job": ("viewer", _job),
    "check": ("viewer", _check),
    "download": ("operator", _download),
    "files": ("operator", _files),
}
_OF_PAGES: dict[str, _Wanted] = {"running": _running, "store": _store}


def _event(name: str, text: str) -> str:
    return (
        f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
    )
