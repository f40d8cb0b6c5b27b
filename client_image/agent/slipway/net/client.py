# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the image server, and patience with a broken line and a restarting server."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from slipway import __version__
from slipway.engine.devices import clean
from slipway.engine.errors import StoreUnreachable, UsageError
from slipway.net.answer import Answer, OddAnswer, Part, Refused, whole
from slipway.net.connections import Connections, Request
from slipway.net.line import Line
from slipway.net.pulse import Pulse

log = logging.getLogger(__name__)

PATIENCE = 60.0
# A restore outlasts the restart of a switch or of the server: half a disk is of no use.
WORK_PATIENCE = 600.0
_TIMEOUT = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_KNOCK = "/v1/session"

Proof = Callable[[Answer], object]
Meaning = TypeVar("Meaning")


class _NotNow(http.client.HTTPException):
    """The server is there, but asks to be asked again."""


class Client:
    """Sends requests to one server. Threads share its line, its patience and its troubles."""

    def __init__(
        self,
        server: str,
        ca: Path,
        token: str = "",
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        set_clock: Callable[[float], None] = lambda now: None,
    ) -> None:
        """`server` is `https://HOST[:PORT]`; `ca` the only certificate authority to trust.

        `patience` is in seconds. `set_clock` gets the server's time with every good answer.
        """
        parts = urlsplit(server)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
            raise UsageError(f"{server} is no server address", "write https://HOST or a folder")
        self.server = server
        self._token = token
        self._sleep = sleep
        self._set_clock = set_clock
        self._connections = Connections(parts.hostname, parts.port or 443, ca)
        # Two fetches: while one answer ends, the next has begun. What is sent needs no such help.
        self._fetching, self._sending = Line(least=2), Line(least=1)
        self._pulse = Pulse(server, patience)

    @property
    def waiting(self) -> str:
        """What it waits for, since when, and what helps; empty while requests get through."""
        return self._pulse.waiting

    def request(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        timeout: float = _TIMEOUT,
        final: frozenset[int] = frozenset(),
        proof: Proof = lambda answer: None,
        bulk: bool = False,
    ) -> Answer:
        """Send until the server answers with something that trying again would not change.

        Statuses in `final` are the caller's to deal with, although trying again might help.
        `proof` reads the answer to a request that was fulfilled, and fails with AttributeError,
        LookupError, TypeError or ValueError when it can't be that: then the request is sent again.
        Refusals are proven to be the image server's own words.

        StoreUnreachable when nothing got through on any thread for the time of `patience`.

        A `bulk` body that broke off is not sent again before the server is back; a `bulk` answer
        that broke off goes on from there.
        """
        wanted = self._made(method, path, body, timeout)
        part = Part() if bulk and body is None else None
        pause, failing = _FIRST_PAUSE, 0.0
        while True:
            try:
                if failing and bulk and body is not None:
                    self._proven(self._made("GET", _KNOCK, None, _TIMEOUT))
                return self._proven(wanted, part, bulk, final, proof)
            except ssl.SSLCertVerificationError as error:
                raise StoreUnreachable(
                    f"{self.server} shows a certificate that is not the pinned CA's: "
                    f"{error.verify_message}",
                    "check that this is the image server and that the site overlay is up to date",
                ) from error
            except (OSError, http.client.HTTPException) as error:
                reason = _reason(error)
            failing = failing or time.monotonic()
            self._pulse.failed(reason, failing)
            log.info("%s: %s; trying again in %.2f s", self.server, reason, pause)
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def ask(
        self,
        method: str,
        path: str,
        read: Callable[[dict[str, Any]], Meaning],
        body: bytes | dict[str, Any] | None = None,
        timeout: float = _TIMEOUT,
        final: frozenset[int] = frozenset(),
        bulk: bool = False,
    ) -> Meaning:
        """What `read` makes of the JSON of a fulfilled request, else Refused. See `request`."""
        found: list[Meaning] = []

        def proof(answer: Answer) -> None:
            found.append(read(answer.json()))

        answer = self.request(method, path, body, timeout, final, proof, bulk)
        if not answer.ok:
            raise Refused(answer)
        return found[-1]

    def _made(
        self, method: str, path: str, body: bytes | dict[str, Any] | None, timeout: float
    ) -> Request:
        headers = {"User-Agent": f"slipway/{__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/octet-stream"
        if body is not None:
            headers["Content-Length"] = str(len(body))
        return Request(method, path, headers, body, timeout, self._pulse.sent)

    def _proven(
        self,
        request: Request,
        part: Part | None = None,
        bulk: bool = False,
        final: frozenset[int] = frozenset(),
        proof: Proof = lambda answer: None,
    ) -> Answer:
        """One try. OSError or HTTPException when it is worth another."""
        if part is not None:
            answer = self._fetched(request, part)
        elif bulk:
            # Who allows a long time-out expects to wait for the answer.
            with self._pulse.transfer() if request.timeout <= _TIMEOUT else nullcontext():
                answer = self._connections.exchange(request, whole, self._sending)
        else:
            answer = self._connections.exchange(request, whole)
        if answer.status in _TRY_AGAIN and answer.status not in final:
            raise _NotNow(_words(answer))
        if answer.ok:
            try:
                proof(answer)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise OddAnswer(f"its answer to {request.path} can't be read: {error}") from error
        else:
            answer.refusal()
        self._pulse.moved()
        if answer.time is not None:
            self._set_clock(answer.time)
        return answer

    def _fetched(self, request: Request, part: Part) -> Answer:
        rest = replace(request, headers=request.headers | part.headers)
        with self._fetching.turn(), self._pulse.transfer():
            began = time.monotonic()
            answer = self._connections.exchange(rest, lambda got: part.take(got, self._pulse.moved))
        self._fetching.took(time.monotonic() - began)
        return answer


def _words(answer: Answer) -> str:
    try:
        return clean(str(answer.refusal()["message"]))
    except OddAnswer:
        return f"it answered {answer.status}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it is silent"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__
