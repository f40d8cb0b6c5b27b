"""HTTPS with one trusted CA, a connection per thread, and patience with a restarting server."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slipway import __version__
from slipway.engine.errors import StoreUnreachable, UsageError

log = logging.getLogger(__name__)

PATIENCE = 60.0
_TIMEOUT = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_MAX_ANSWER = 512 << 20
_HUNG_UP = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request was fulfilled."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body as an object; empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Client:
    """Sends requests to one server."""

    def __init__(
        self,
        server: str,
        ca: Path,
        token: str = "",
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`server` is `https://HOST[:PORT]`; `ca` the only certificate authority to trust."""
        parts = urlsplit(server)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
            raise UsageError(f"{server} is no server address", "write https://HOST or a folder")
        self.server = server
        self._host, self._port = parts.hostname, parts.port or 443
        self._token = token
        self._patience = patience
        self._sleep = sleep
        self._local = threading.local()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"the CA file {ca} can't be read: {error}", "check --ca") from error

    def request(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        timeout: float = _TIMEOUT,
        final: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send until the server answers with something that trying again would not change.

        Statuses in `final` are the caller's to deal with, although trying again might help.
        """
        kind = "application/octet-stream"
        if isinstance(body, dict):
            body, kind = json.dumps(body).encode(), "application/json"
        began, pause, last = time.monotonic(), _FIRST_PAUSE, ""
        while True:
            try:
                answer = self._once(method, path, body, kind, timeout)
                if answer.status not in _TRY_AGAIN or answer.status in final:
                    return answer
                last = str(answer.json().get("message") or f"it answered {answer.status}")
            except ssl.SSLCertVerificationError as error:
                raise StoreUnreachable(
                    f"{self.server} shows a certificate that is not the pinned CA's: "
                    f"{error.verify_message}",
                    "check that this is the image server, that the site overlay is up to date, "
                    "and this machine's clock",
                ) from error
            except (OSError, http.client.HTTPException) as error:
                last = str(error) or type(error).__name__
            if time.monotonic() - began > self._patience:
                waited = f" for {self._patience:.0f} seconds" if self._patience else ""
                raise StoreUnreachable(
                    f"{self.server} did not answer{waited}: {last}",
                    "check the network and that the services nginx and slipway run on the server",
                )
            log.info("%s: %s; trying again in %.1f s", self.server, last, pause)
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(
        self, method: str, path: str, body: bytes | None, kind: str, timeout: float
    ) -> Answer:
        headers = {"User-Agent": f"slipway/{__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = kind
        connection = self._connection(timeout)
        reused = connection.sock is not None
        try:
            return _exchange(connection, method, path, body, headers)
        except _HUNG_UP:
            # The server has closed a connection that it held open for us: no fault of its own.
            if not reused:
                raise
            return _exchange(connection, method, path, body, headers)

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPSConnection(
                self._host, self._port, context=self._context
            )
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection


def _exchange(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
) -> Answer:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read(_MAX_ANSWER)
        if response.will_close:
            connection.close()
        return Answer(response.status, data)
    except BaseException:
        connection.close()
        raise
