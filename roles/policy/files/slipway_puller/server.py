# SPDX-License-Identifier: GPL-3.0-or-later
"""This server's store, as the control service offers it to what pulls: over a socket of its own."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from slipway.engine.errors import SlipwayError, StoreFull, StoreRefused, StoreUnreachable
from slipway.engine.progress import Meter
from slipway.engine.store import ChunksLacking, Problem
from slipway.format import FormatError, Manifest, parse, serialize
from slipway.net.unix_socket import UnixConnection

# Publishing syncs the store's file system first.
_SECONDS = 600.0
_QUERY = 4096
# A service that is started anew is waited for.
_PATIENCE = 60.0
_PAUSE = 0.5


class OwnServer:
    """Safe in threads: each request has a connection of its own, and is repeated at need."""

    root = "this server"

    def __init__(self, path: str, patience: float = _PATIENCE) -> None:
        """``path``: the socket. It may be away for ``patience`` seconds."""
        self._path = path
        self._patience = patience
        self._of = ""

    def taken(self, name: str) -> set[str]:
        """Versions of an image that need not come."""
        return set(self._ask("GET", f"/v1/copies/{name}")["versions"])

    def note(self, sites: Mapping[str, Mapping[str, Any]]) -> None:
        """Say how it went."""
        self._ask("POST", "/v1/replications", {"sites": dict(sites)})

    def holds(self, manifest: Manifest) -> bool:
        """Whether the version is here. StoreRefused: another one has its name."""
        # What is asked and sent from now on is of this version.
        self._of = f"/v1/copies/{manifest.name}/{manifest.version}"
        status, text = self._exchange("GET", self._of, None)
        if status == http.client.NOT_FOUND:
            return False
        if status != http.client.OK:
            raise _refused(status, text)
        try:
            found = parse(text)
        except FormatError as error:
            raise StoreRefused(
                f"the manifest of {manifest.name}@{manifest.version} here is damaged: {error}",
                "delete that version here, or restore its manifest",
            ) from error
        # Its chunks may be packed otherwise here: that is no difference.
        if replace(found, stored_bytes=0) != replace(manifest, stored_bytes=0):
            raise StoreRefused(
                f"this server has another {manifest.name}@{manifest.version}; it was left alone",
                "rename the image at one of the two",
            )
        return True

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these chunks it lacks; the others are promised."""
        found: set[str] = set()
        for start in range(0, len(digests), _QUERY):
            asked = {"digests": list(digests[start : start + _QUERY])}
            found |= set(self._ask("POST", f"{self._of}/query", asked)["missing"])
        return found

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """None: the service reads its chunks by itself, and `missing` names those that are bad."""
        return []

    def put(self, digest: str, frame: bytes) -> None:
        """Keep a chunk that was proven."""
        self._ask("PUT", f"{self._of}/chunks/{digest}", frame)

    def adopt(self, manifest: Manifest) -> int:
        """Make it a version here, once all its chunks are."""
        self._ask("POST", self._of, serialize(manifest))
        return 0

    def _ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        status, text = self._exchange(method, path, data)
        if status >= http.client.BAD_REQUEST:
            raise _refused(status, text)
        return json.loads(text) if text else None

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                status, text = self._once(method, path, body)
                if status not in (429, 500, 503) or time.monotonic() > deadline:
                    return status, text
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise StoreUnreachable(
                        f"the control service of this server does not answer: {error}",
                        "look at slipway.service",
                    ) from error
            time.sleep(_PAUSE)

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = UnixConnection(self._path, _SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _refused(status: int, text: bytes) -> SlipwayError:
    try:
        said = json.loads(text)
        message, remedy = str(said["message"]), str(said["remedy"])
    except (ValueError, LookupError, TypeError):
        return StoreRefused(f"the control service answered {status}", "look at slipway.service")
    lacking = said.get("missing")
    if isinstance(lacking, list) and lacking:
        return ChunksLacking([str(each) for each in lacking])
    return (StoreFull if status == http.client.INSUFFICIENT_STORAGE else StoreRefused)(
        message, remedy
    )
