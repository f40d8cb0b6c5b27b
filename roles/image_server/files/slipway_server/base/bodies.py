# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of requests: how long, how slow and how intricate one may be, said before it is read."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import IO, Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import files
from .errors import ServiceError

MAX_JSON = 1 << 20
# A body is given up when it falls behind this pace. A PC with eight threads on a line of 1 Mbit/s
# sends four times as fast.
_GRACE_SECONDS = 30.0
_BYTES_PER_SECOND = 4096
_WRITE = 1 << 20
# Bodies above this are parsed one in each turn of the event loop, so that others get theirs.
_HEAVY = 16 << 10


@dataclass(frozen=True)
class Bound:
    """What a route's body may be. ``values`` counts what JSON's brackets and commas separate."""

    size: int = MAX_JSON
    values: int = 1 << 17
    needs_token: bool = True


class Body:
    """A request's body under way: at most ``limit`` bytes, refused as soon as it says more."""

    def __init__(self, request: Request, limit: int) -> None:
        """Nothing is read before the first part is asked for."""
        self._request = request
        self._limit = limit
        self._until: asyncio.Timeout | None = None
        self.began = asyncio.get_running_loop().time()
        self.size = 0
        # Whether it was given up before its end.
        self.is_cut = False

    async def parts(self) -> AsyncIterator[bytes]:
        """Its parts as they come. ServiceError ``too_long``, ``too_slow``."""
        if declared_length(self._request) > self._limit:
            raise self._too_long()
        try:
            async with asyncio.timeout(_GRACE_SECONDS) as self._until:
                async for part in self._request.stream():
                    self.size += len(part)
                    if self.size > self._limit:
                        raise self._too_long()
                    if not self.is_cut:
                        pace = self.size / _BYTES_PER_SECOND
                        self._until.reschedule(self.began + _GRACE_SECONDS + pace)
                    yield part
        except TimeoutError as error:
            raise ServiceError("too_slow", "The body came too slowly.") from error
        finally:
            self._until = None

    def cut(self) -> None:
        """Give it up now: the sender gets ``too_slow`` and may try again."""
        # One whose own time is just over can't be given another.
        if self._until is not None and not self._until.expired():
            self._until.reschedule(self.began)
        self.is_cut = True

    def rate(self, now: float) -> float:
        """Bytes per second so far."""
        return self.size / max(now - self.began, 0.001)

    async def read(self) -> bytes:
        """The whole of it."""
        return b"".join([part async for part in self.parts()])

    async def save(self, file: IO[bytes], run: Callable[..., Awaitable[Any]]) -> str:
        """Write it to the unbuffered ``file`` in the threads behind ``run``; return its SHA-256."""
        digest, waiting = hashlib.sha256(), bytearray()
        async for part in self.parts():
            digest.update(part)
            waiting += part
            if len(waiting) >= _WRITE:
                await run(files.write_all, file.fileno(), bytes(waiting))
                waiting.clear()
        await run(files.write_all, file.fileno(), bytes(waiting))
        return digest.hexdigest()

    def _too_long(self) -> ServiceError:
        return ServiceError("too_long", f"The body is longer than {self._limit} bytes.")


def declared_length(request: Request) -> int:
    """What the request says of its body's length: 0 is none, and none said."""
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


class BodyLimit:
    """Reads the body of every request whose handler does not do so itself."""

    def __init__(
        self,
        app: ASGIApp,
        bound_of: Callable[[str, str], Bound | None],
        is_known: Callable[[str], Awaitable[object]],
        refuse: Callable[[ServiceError], ASGIApp],
    ) -> None:
        """``bound_of`` tells the bound by method and path; None: the handler reads it.

        ``is_known`` raises ServiceError for a token that opens nothing, ``refuse`` answers one.
        """
        self._app = app
        self._bound_of = bound_of
        self._is_known = is_known
        self._refuse = refuse
        self._heavy = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Token first, then the body, within limits of size, time and values."""
        bound = self._bound_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if bound is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if bound.needs_token and _has_body(request):
                await self._is_known(_token(request))
            body = await Body(request, bound.size).read()
            _count_values(body, bound.values)
        except ClientDisconnect:
            return
        except ServiceError as error:
            await self._refuse(error)(scope, receive, send)
            return
        if len(body) > _HEAVY:
            await self._heavy.acquire()
            # It is parsed as soon as it is given, before the loop's next turn.
            asyncio.get_running_loop().call_soon(self._heavy.release)
        await self._app(scope, _replay(body, receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _has_body(request: Request) -> bool:
    return declared_length(request) > 0 or "transfer-encoding" in request.headers


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise ServiceError("bad_token", "The request carries no token.")
    return token.strip()


def _count_values(body: bytes, limit: int) -> None:
    """JSON that is all brackets costs a hundred times its size: counted before it is read."""
    if sum(map(body.count, (b",", b"{", b"["))) > limit:
        raise ServiceError("bad_body", f"The body holds more than {limit} values.", "Send fewer.")
