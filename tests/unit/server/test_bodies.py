# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies: as long as a route needs, counted before they are read, and none holds all places."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from slipway.format.frames import MAX_FRAME, digest_of, make_frame
from slipway_server.api.models import common, images, jobs, registrations, sessions
from slipway_server.base.bodies import Body
from slipway_server.base.errors import ServiceError

from .conftest import CELL, Service, cell, manifest_of
from .test_images import error_of

STRICT = [
    each
    for module in (common, images, jobs, registrations, sessions)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, common.Strict) and each is not common.Strict
]


@pytest.mark.parametrize("model", STRICT, ids=lambda each: each.__name__)
def test_of_many_unknown_keys_one_is_refused(model: type[BaseModel]) -> None:
    many: dict[str, Any] = {f"unknown{number}": number for number in range(50_000)}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(many)
    unknown = [each for each in caught.value.errors() if each["type"] == "extra_forbidden"]
    assert [each["loc"] for each in unknown] == [("unknown0",)]


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/v1/checkin", 300_000),
        ("/v1/choices", 300_000),
        ("/v1/pending", 5_000),
        ("/v1/registrations", 200_000),
        ("/v1/session/heartbeat", 2_000),
        ("/v1/session/progress", 70_000),
        ("/v1/session/result", 1_100_000),
        ("/v1/chunks/query", 600_000),
    ],
)
def test_each_route_takes_what_it_needs_and_no_more(service: Service, path: str, size: int) -> None:
    pc = service.machine()
    body = b'{"a":"' + b"x" * size + b'"}'
    assert error_of(pc.request("POST", path, content=body)) == (413, "too_long")


@pytest.mark.parametrize("path", ["/v1/checkin", "/v1/choices", "/v1/session/progress"])
@pytest.mark.parametrize("part", ["{},", "[],", "1,"])
def test_values_are_counted_before_they_are_read(service: Service, path: str, part: str) -> None:
    pc = service.machine()
    body = '{"hardware":[' + part * 10_000 + "0]}"
    assert error_of(pc.request("POST", path, content=body)) == (400, "bad_body")


def test_the_largest_that_is_allowed_is_taken(service: Service) -> None:
    # JSON writes six bytes for a letter that takes two.
    hardware = {"name": "д" * ((common.MAX_HARDWARE - 100) // 2)}
    pc = service.machine(arrived=False)
    assert len(json.dumps(pc.report(hardware=hardware))) > 190_000
    assert pc.check_in(hardware=hardware).status_code == 200
    digests = [f"{number:064x}" for number in range(images.MAX_QUERY)]
    answer = pc.request("POST", "/v1/chunks/query", json={"digests": digests})
    assert answer.json()["missing"] == digests
    # 16 KiB a progress record, 512 KiB a result.
    for path, size in (("progress", sessions.MAX_PROGRESS), ("result", sessions.MAX_RESULT)):
        record = {"type": path, "text": "x" * (size - 100)}
        assert pc.request("POST", f"/v1/session/{path}", json=record).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/session", "/v1/openapi.json", "/v1/choices/current", "/nosuch"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "OPTIONS"])
def test_nobody_without_a_token_holds_a_place_with_a_body(
    service: Service, method: str, path: str
) -> None:
    """It is not waited for: neither for the rest of it, nor for its pace."""
    for told in (b"Content-Length: 9", b"Transfer-Encoding: chunked"):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(service.folder / "http"))
            head = b"%s %s HTTP/1.1\r\nHost: x\r\n" % (method.encode(), path.encode())
            line.sendall(head + told + b"\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def manifests_on_disk(service: Service) -> int:
    """Files without a name that the service holds open in the store."""
    place = str(service.store / "tmp/#")
    found = 0
    for each in Path(f"/proc/{service.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(each.readlink()).startswith(place)
    return found


@pytest.mark.plays
def test_a_session_has_one_manifest_on_disk_however_many_it_sends(service: Service) -> None:
    """The next one begins when the one before is answered, and so on."""
    pc, most, over = service.machine(), 0, threading.Event()
    content = cell("one manifest at a time")
    pc.put(content)
    body = manifest_of(pc.name, content)

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(body), len(body) // 4 + 1):
            yield body[start : start + len(body) // 4 + 1]
            time.sleep(0.05)

    def send() -> int:
        return pc.request("POST", f"/v1/images/{pc.name}", content=slowly()).status_code

    def look() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, manifests_on_disk(service))

    # As one is answered, another one comes: as from a client that lost the answer.
    with ThreadPoolExecutor(5) as pool:
        looking = pool.submit(look)
        try:
            answers = [pool.submit(send) for _ in range(12)]
            assert {each.result() for each in answers} == {200, 201}
        finally:
            over.set()
        looking.result()
    assert most == 1


@pytest.mark.plays
def test_slow_senders_of_one_session_leave_the_others_their_share(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(upload_slots=4)
    slow, honest = service.machine(), service.machine()
    stop = threading.Event()
    answers: list[tuple[int, str]] = []

    def drip() -> Iterator[bytes]:
        for _ in range(MAX_FRAME):
            yield b"x"
            if stop.wait(0.5):
                return

    def hold() -> None:
        answers.append(error_of(slow.request("PUT", "/v1/chunks/" + "0" * 64, content=drip())))

    with ThreadPoolExecutor(12) as pool:
        for _ in range(8):
            pool.submit(hold)
        try:
            contents = [cell(f"beside slow senders {number}") for number in range(8)]

            def send(content: bytes) -> int:
                path = f"/v1/chunks/{digest_of(content)}"
                return honest.request("PUT", path, content=make_frame(content)).status_code

            assert list(pool.map(send, contents)) == [201] * 8
        finally:
            stop.set()
    # Who was cut is told to try again.
    assert (408, "too_slow") in answers


@pytest.mark.plays
def test_a_line_of_one_megabit_is_fast_enough(service: Service) -> None:
    """Eight threads share it, so each has 16 kB a second: longer than any grace."""
    pc = service.machine()
    content = random.Random(1).randbytes(CELL)
    frame = make_frame(content)

    def trickle() -> Iterator[bytes]:
        for start in range(0, 700_000, 16_000):
            yield frame[start : start + 16_000]
            time.sleep(1)
        yield frame[704_000:]

    answer = pc.request("PUT", f"/v1/chunks/{digest_of(content)}", content=trickle(), timeout=90)
    assert answer.status_code == 201


def test_a_body_whose_time_is_over_can_be_cut_all_the_same() -> None:
    """Whoever waits for its place asks for it; that is no reason to fail."""

    async def dribble() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async def cut_again_and_again() -> str:
        body = Body(SimpleNamespace(headers={}, stream=dribble), 1 << 20)
        reading = asyncio.create_task(body.read())
        await asyncio.sleep(0.05)
        while not reading.done():
            # Each lets the loop take one step more: the time runs out between two of them.
            body.cut()
            await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            await reading
        body.cut()
        return refused.value.error

    assert asyncio.run(cut_again_and_again()) == "too_slow"
