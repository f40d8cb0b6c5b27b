# SPDX-License-Identifier: GPL-3.0-or-later
"""Every route, with every kind of content type and body: a refusal or an answer, never a crash."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from slipway_server.apps import APPS

from .conftest import Service
from .path_values import filled

TYPES = [
    None,
    "",
    "application/json",
    "text/plain",
    "text/plain; charset=utf-16",
    "application/zstd",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/vnd.api+json",
    "a/b/c",
    ";",
    "application/json; charset=nonsense",
]
BODIES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b"\0",
    b"--x\r\n\r\n--x--",
    b"a=1&b=2",
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    b"[" * 3000,
    b'{"macs":' + b"9" * 5000 + b"}",
    b'{"session":"\\ud800"}',
    b'{"\\ud800":1}',
]


def routes(client: httpx.Client) -> list[tuple[str, str]]:
    paths: dict[str, Any] = client.get("/v1/openapi.json").json()["paths"]
    return [
        (method.upper(), filled(path))
        for path, operations in paths.items()
        for method in operations
    ]


@pytest.mark.plays
@pytest.mark.parametrize(
    "door",
    [
        *("http", "admin", "runner", "web", "teller", "maker"),
        pytest.param("puller", marks=pytest.mark.slow),
    ],
)
def test_no_route_crashes(service: Service, door: str) -> None:
    client: httpx.Client = getattr(service, door)
    verbs = ("backup", "restore") if door == "http" else ()
    tokens = ["", "nonsense"]
    name, version = service.image(b"\x5a" * (1 << 20))
    for verb in verbs:
        wanted = {"image": name} | ({"version": version} if verb == "restore" else {})
        tokens.append(service.machine(verb, **wanted).token)
    found = routes(client)
    assert len(found) >= len(APPS[door].rules)
    crashes = []
    for method, path in found:
        bodies = BODIES if method != "GET" else BODIES[:2]
        for kind in TYPES:
            for body in bodies:
                for token in (
                    tokens[-1:] if kind not in ("text/plain", "application/json") else tokens
                ):
                    headers = {} if kind is None else {"Content-Type": kind}
                    headers |= {"Authorization": f"Bearer {token}"} if token else {}
                    answer = client.request(method, path, content=body, headers=headers)
                    if answer.status_code >= 500:
                        crashes.append((method, path, kind, body[:20], answer.status_code))
    assert crashes == []
