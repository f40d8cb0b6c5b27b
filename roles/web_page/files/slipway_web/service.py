# SPDX-License-Identifier: GPL-3.0-or-later
"""The control service as the page reaches it: one socket, a closed list of routes."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

# A service that is slower than that is shown as one that is down.
_SECONDS = 10.0
# Reading or copying an image takes minutes.
_LONG_SECONDS = 1800.0
_LARGEST = 64 << 20
_MOST_KNOWN, _LARGEST_KNOWN = 64, 4 << 20
_THREADS = 8
_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ServiceDown(Exception):
    """It does not answer, and nothing is known from before."""


class Refused(Exception):
    """What the service refused, in its own words."""

    def __init__(self, status: int, body: Any) -> None:
        """Take what the answer says; an answer that is none of the service's says nothing."""
        said = body if isinstance(body, dict) else {}
        self.status = status
        self.error = str(said.get("error", "internal"))
        self.message = str(said.get("message", "The service gave no answer that is one."))
        self.remedy = str(said.get("remedy", "Read the journal of slipway.service."))
        super().__init__(self.message)


@dataclass(frozen=True)
class Known:
    """An answer; ``since`` is when it was true if the service does not answer now."""

    body: Any
    since: float | None = None


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Service:
    """Asks in threads; remembers what was answered last to each question, for bad times."""

    def __init__(self, path: Path) -> None:
        """Nothing is asked yet."""
        self._path = path
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="service")
        self._known: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, path: str, who: Mapping[str, str], **query: str) -> Known:
        """Look at something. ServiceDown if that is nothing, not even what it was."""
        target = _target(path, list(query.items()))
        # Who may look at it was asked before; what is seen is the same for everybody.
        try:
            status, text = await self._ask("GET", target, who, None, _SECONDS)
        except ServiceDown:
            if target not in self._known:
                raise
            since, text = self._known[target]
            return Known(json.loads(text), since)
        body = _checked(status, text)
        if len(text) <= _LARGEST_KNOWN:
            self._known[target] = (time.time(), text)
            self._known.move_to_end(target)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return Known(body)

    async def act(
        self, method: str, path: str, who: Mapping[str, str], body: Any = None, **query: str
    ) -> Any:
        """Change something. ServiceDown: nobody knows whether it was done."""
        return _checked(*await self.pass_on(method, path, who, body, list(query.items())))

    async def tell_of_guesses(self, account: str | None, address: str) -> None:
        """Say whose sign-ins are slowed; None: those from the address. It may be down."""
        seen = {"account": account, "address": address}
        with suppress(ServiceDown):
            await self._ask("POST", "/v1/guesses", {}, seen, _SECONDS)

    async def pass_on(
        self,
        method: str,
        path: str,
        who: Mapping[str, str],
        body: Any,
        query: Sequence[tuple[str, str]],
    ) -> tuple[int, bytes]:
        """Status and text of an answer, whatever it is. ServiceDown: there is none."""
        return await self._ask(method, _target(path, query), who, body, _LONG_SECONDS)

    async def _ask(
        self, method: str, target: str, who: Mapping[str, str], body: Any, seconds: float
    ) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._ask_now, method, target, dict(who), body, seconds
        )

    def _ask_now(
        self, method: str, target: str, headers: dict[str, str], body: Any, seconds: float
    ) -> tuple[int, bytes]:
        connection = _Connection(self._path, seconds)
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            text = answer.read(_LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ServiceDown(str(error)) from error
        finally:
            connection.close()
        if len(text) > _LARGEST:
            raise ServiceDown("the answer is too long")
        return answer.status, text


def _target(path: str, query: Sequence[tuple[str, str]]) -> str:
    return path + (f"?{urlencode(query)}" if query else "")


def _checked(status: int, text: bytes) -> Any:
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(status, None) from None
    if status >= 400:
        raise Refused(status, body)
    return body


def path(*parts: str) -> str:
    """A path below /v1; Refused for a part that is no name, so that none reaches elsewhere."""
    if not all(_NAME.fullmatch(part) for part in parts):
        raise Refused(404, {"message": "There is nothing of that name.", "remedy": "Go back."})
    return "/v1/" + "/".join(parts)
