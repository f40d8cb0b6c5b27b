# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that would take gigabytes to read: refused, and the service goes on as it was."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from slipway.format.codec import parse
from slipway.format.errors import FormatError
from slipway_server.base.errors import ServiceError
from slipway_server.images.offer import Offer

from .conftest import Machine, Service, cell
from .heavy import BOMBS, await_reader, children, envelope, fragmented, memory_peak
from .test_images import error_of

LARGEST = 127 << 20
# A service at work has about 90 MiB.
MAX_PEAK = 400 << 20


def publish(pc: Machine, body: bytes) -> httpx.Response:
    # In pieces: the client would copy what is left of the body for each that it sends.
    pieces = (body[start : start + (1 << 20)] for start in range(0, len(body), 1 << 20))
    headers = {"Content-Length": str(len(body))}
    path = f"/v1/images/{pc.name}"
    return pc.request("POST", path, content=pieces, headers=headers, timeout=600)


def send(pc: Machine, body: bytes) -> None:
    """Publish to a service that goes away meanwhile."""
    # What it answers on its way out may be no JSON.
    with suppress(httpx.TransportError, ValueError):
        publish(pc, body)


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_no_manifest_is_refused_before_it_is_read(kind: str) -> None:
    with pytest.raises(FormatError):
        parse(envelope(BOMBS[kind](8_000_000)))


def test_brackets_and_quotes_in_texts_count_as_text() -> None:
    name = b'"label":"' + b'[{\\"\\\\' * 40 + b'"'
    data = fragmented("pc", 3).partition(b'"manifest":')[2][:-2]
    assert b'"label":""' in data
    manifest = parse(envelope(data.replace(b'"label":""', name)))
    assert manifest.disks[0].segments[1].label == '[{"\\' * 40


@pytest.mark.plays
@pytest.mark.parametrize(
    "kind", ["lists", "pairs", pytest.param("wide characters", marks=pytest.mark.slow)]
)
def test_a_bomb_ends_nothing(own_service: Callable[..., Service], kind: str) -> None:
    service = own_service()
    pc, honest = service.machine(), service.machine()
    body, pid = envelope(BOMBS[kind](LARGEST)), service.pid
    for _ in range(2):
        answer = publish(pc, body)
        assert error_of(answer) == (422, "bad_manifest")
        assert answer.json()["remedy"]
    assert memory_peak(pid) < MAX_PEAK
    assert children(pid) == []
    content = cell(f"beside {kind}")
    honest.put(content)
    assert honest.publish(content).status_code == 201
    # It was the manifest's fault, and the next may be right.
    pc.put(content)
    assert pc.publish(content).status_code == 201


@pytest.mark.plays
def test_a_session_that_ended_the_service_is_not_served_again(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    pc, honest = service.machine(), service.machine()
    slow = fragmented(pc.name, 2_000_000)

    for _ in range(2):
        sender = threading.Thread(target=send, args=(pc, slow))
        sender.start()
        await_reader(service.pid)
        service.restart(signal.SIGKILL)
        sender.join(600)
    answer = publish(pc, slow)
    assert error_of(answer) == (409, "publish_refused")
    assert children(service.pid) == []
    content = cell("after two strikes")
    honest.put(content)
    assert honest.publish(content).status_code == 201


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGXCPU])
def test_a_reader_that_is_killed_is_a_strike(
    own_service: Callable[..., Service], number: signal.Signals
) -> None:
    service = own_service()
    pc = service.machine()
    slow = fragmented(pc.name, 2_000_000)
    answers: list[httpx.Response] = []
    for expected in ((500, "publish_failed"), (500, "publish_failed")):
        sender = threading.Thread(target=lambda: answers.append(publish(pc, slow)))
        sender.start()
        os.kill(await_reader(service.pid), number)
        sender.join(600)
        assert error_of(answers[-1]) == expected
    assert error_of(publish(pc, slow)) == (409, "publish_refused")


@pytest.mark.plays
def test_a_stop_in_the_middle_is_no_strike(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = service.machine()
    slow = fragmented(pc.name, 1_000_000)
    for _ in range(3):
        sender = threading.Thread(target=send, args=(pc, slow))
        sender.start()
        await_reader(service.pid)
        service.restart()
        sender.join(600)
    # Its chunks were never sent: the manifest was read to its end.
    assert error_of(publish(pc, slow)) == (409, "missing_chunks")


@pytest.mark.plays
def test_a_store_that_holds_one_lists_it_as_damaged(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = service.image(cell("sound beside the damaged"))
    folder = service.store / "images" / name
    (folder / "20260101T000000Z.json").write_bytes(envelope(BOMBS["pairs"](LARGEST)))
    with (folder / "20260102T000000Z.json").open("wb") as file:
        file.truncate(1 << 40)
    listed = service.admin.get(f"/v1/images/{name}", timeout=60).json()["versions"]
    problems = {item["version"]: item["problem"] for item in listed}
    assert problems.pop(version) is None
    assert len(problems) == 2
    assert all(problems.values())
    assert memory_peak(service.pid) < 1200 << 20


@pytest.mark.plays
@pytest.mark.parametrize("kind", sorted(BOMBS.keys() - {"wide characters"}))
def test_to_refuse_it_takes_a_few_times_its_size(tmp_path: Path, kind: str) -> None:
    body = envelope(BOMBS[kind](40_000_000))
    with (tmp_path / "body").open("w+b", buffering=0) as file:
        file.write(body)
        with pytest.raises(ServiceError) as caught:
            Offer(file, len(body))
    assert caught.value.error == "bad_manifest"
    assert "of memory" not in caught.value.message
