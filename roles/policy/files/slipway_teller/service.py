# SPDX-License-Identifier: GPL-3.0-or-later
"""The control service, as its socket for this process offers it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

_SECONDS = 30.0


class ServiceDownError(Exception):
    """The service does not answer, or not so."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Service:
    """Safe in threads: each question has a connection of its own."""

    def __init__(self, path: str) -> None:
        """``path``: the socket."""
        self._path = path

    def name(self, sinks: list[str]) -> None:
        """Say who is told from now on."""
        self._ask("POST", "/v1/sinks", {"sinks": sinks})

    def waiting(self, sink: str) -> tuple[str, list[dict[str, Any]]]:
        """The server's name, and what a sink is to be told next."""
        answer = self._ask("GET", f"/v1/sinks/{sink}")
        return answer["server"], answer["events"]

    def told(self, sink: str, number: int) -> None:
        """Say that a sink was told an event."""
        self._ask("POST", f"/v1/sinks/{sink}", {"number": number})

    def not_told(self, sink: str, problem: str) -> None:
        """Say why a sink can't be told."""
        self._ask("POST", f"/v1/sinks/{sink}", {"problem": problem})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = _Connection(self._path)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise ServiceDownError(f"{method} {path}: {answer.status}")
            return json.loads(data) if data else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceDownError(f"{method} {path}: {type(error).__name__}") from error
        finally:
            connection.close()
