# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions: published whole or not at all, checked, and never two for one backup."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway.format.codec import parse
from slipway.format.frames import check_frame, digest_of
from slipway_server.images.images import Images
from slipway_server.images.memory import Memory
from slipway_server.images.store import ChunkStore
from slipway_server.images.sync_marks import SyncMarks

from .conftest import Service, cell, manifest_of


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def check(service: Service, name: str, version: str) -> dict[str, Any]:
    answer = service.admin.post(f"/v1/images/{name}/{version}/check")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_published_version_is_listed_read_and_stamped_by_the_store(service: Service) -> None:
    content = cell("published")
    pc = service.machine()
    pc.put(content)
    answer = pc.publish(content, content)
    assert answer.status_code == 201, answer.text
    version = answer.json()["version"]
    manifest = parse(service.admin.get(f"/v1/images/{pc.name}/{version}").content)
    assert (manifest.name, manifest.version) == (pc.name, version)
    size = service.chunk_path(content).stat().st_size
    assert manifest.stored_bytes == size
    assert pc.seen()["version"] == version
    listed = service.admin.get(f"/v1/images/{pc.name}").json()["versions"]
    assert [(item["version"], item["bytes"], item["stored"]) for item in listed] == [
        (version, 2 << 20, size)
    ]
    assert pc.name in [item["name"] for item in service.admin.get("/v1/images").json()["images"]]


def test_a_degraded_version_is_listed_as_such(service: Service) -> None:
    content = cell("degraded")
    pc = service.machine()
    pc.put(content)
    body = json.loads(manifest_of(pc.name, content))["manifest"]
    body["disks"][0]["segments"][0]["unreadable"] = "3+2"
    raw = json.dumps(body, separators=(",", ":")).encode()
    head = b'{"slipway":1,"sha256":"%s","manifest":' % hashlib.sha256(raw).hexdigest().encode()
    answer = pc.request("POST", f"/v1/images/{pc.name}", content=head + raw + b"}\n")
    assert answer.status_code == 201, answer.text
    version = answer.json()["version"]
    for _ in range(2):  # from the manifest, then as the service remembers it
        [listed] = service.admin.get(f"/v1/images/{pc.name}").json()["versions"]
        assert (listed["degraded"], listed["unreadable"]) == (True, 1024)
    read = parse(service.admin.get(f"/v1/images/{pc.name}/{version}").content)
    assert read.unreadable_bytes == 1024


def test_a_summary_of_an_older_release_is_made_anew(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, _version = service.image(cell("older release"))
    [listed] = service.admin.get(f"/v1/images/{name}").json()["versions"]
    older = {key: value for key, value in listed.items() if key not in ("degraded", "unreadable")}
    file = service.state / "memory.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as memory, memory:
        done = memory.execute("UPDATE summaries SET body = ?", (json.dumps(older),))
        assert done.rowcount == 1
    assert service.admin.get(f"/v1/images/{name}").json()["versions"] == [listed]


def test_a_long_list_is_remembered_in_few_commits(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory.sqlite3")
    marks = SyncMarks(tmp_path / "unsynced", "boot")
    images = Images(
        ChunkStore(tmp_path / "store", 0, marks, memory.is_bad, memory.keep_key), memory
    )
    folder = tmp_path / "store/images/pc"
    folder.mkdir()
    for number in range(2500):
        (folder / f"20260101T{number:06d}Z.json").write_bytes(manifest_of("pc", b""))
    statements: list[str] = []
    memory._db.set_trace_callback(statements.append)
    assert len(images.summaries("pc")) == 2500
    assert 1 <= statements.count("COMMIT") <= 3
    assert all(images.summaries("pc"))
    assert statements.count("COMMIT") <= 3


def test_a_retry_finds_its_own_version_and_another_manifest_is_refused(service: Service) -> None:
    one, two = cell("retry one"), cell("retry two")
    pc = service.machine()
    pc.put(one)
    pc.put(two)
    first = pc.publish(one)
    again = pc.publish(one)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert error_of(pc.publish(two)) == (409, "already_published")
    assert len(service.admin.get(f"/v1/images/{pc.name}").json()["versions"]) == 1


def test_versions_of_one_second_differ(service: Service) -> None:
    content = cell("one second")
    versions = []
    for _ in range(3):
        pc = service.machine(image="busy-image")
        pc.put(content)
        versions.append(pc.publish(content, name="busy-image").json()["version"])
    assert len(set(versions)) == 3
    listed = service.admin.get("/v1/images/busy-image").json()["versions"]
    assert [item["version"] for item in listed] == versions[::-1]


def test_a_manifest_that_names_a_missing_chunk(service: Service) -> None:
    pc = service.machine()
    there, missing = cell("there"), cell("missing")
    pc.put(there)
    answer = pc.publish(there, missing)
    assert error_of(answer) == (409, "missing_chunks")
    assert answer.json()["missing"] == [digest_of(missing)]
    assert pc.seen()["version"] is None
    assert error_of(service.admin.get(f"/v1/images/{pc.name}")) == (404, "unknown_image")
    pc.put(missing)
    assert pc.publish(there, missing).status_code == 201


def test_bad_manifests_are_refused(service: Service) -> None:
    content = cell("bad manifest")
    pc = service.machine()
    pc.put(content)
    good = manifest_of(pc.name, content)
    body = good[len(b'{"slipway":1,"sha256":"",') + 64 + len('"manifest":') : -2]
    unknown = json.loads(body) | {"x": 1}
    raw = json.dumps(unknown, separators=(",", ":")).encode()
    sealed = b'{"slipway":1,"sha256":"%s","manifest":%s}\n' % (
        hashlib.sha256(raw).hexdigest().encode(),
        raw,
    )
    for bad in (
        b"",
        b"{}",
        good[:-3],
        good.replace(b"disk0", b"disk1"),
        sealed,
        manifest_of("another", content),
    ):
        answer = pc.request("POST", f"/v1/images/{pc.name}", content=bad)
        assert error_of(answer) == (422, "bad_manifest")
    answer = pc.request("POST", "/v1/images/..%2fx", content=good)
    assert answer.status_code in (404, 405, 422)
    assert list((service.store / "images").glob(f"{pc.name}/*")) == []


def test_a_manifest_is_bounded(own_service: Callable[..., Service]) -> None:
    pc = own_service(max_manifest_bytes=1000).machine()
    answer = pc.request("POST", f"/v1/images/{pc.name}", content=bytes(1001))
    assert error_of(answer) == (413, "too_long")


def test_a_changed_byte_is_found_named_and_healed_by_the_next_backup(service: Service) -> None:
    content, sound = cell("one byte changes"), cell("stays sound")
    name, version = service.image(content, sound)
    assert check(service, name, version)["state"] == "sound"
    path, digest = service.chunk_path(content), digest_of(content)
    with path.open("r+b") as file:
        file.seek(30)
        byte = file.read(1)
        file.seek(30)
        file.write(bytes([byte[0] ^ 1]))
    pc = service.machine("restore", image=name, arrived=False)
    seen = service.session(pc.session, wait=10, until="image_checked")["image_check"]
    assert (seen["state"], [problem["digest"] for problem in seen["problems"]]) == (
        "broken",
        [digest],
    )
    pc.check_in()
    assert pc.request("GET", "/v1/session").json()["image_check"]["state"] == "broken"
    backup = service.machine()
    query = backup.request("POST", "/v1/chunks/query", json={"digests": [digest]})
    assert query.json() == {"missing": [digest]}
    assert error_of(backup.publish(content)) == (409, "missing_chunks")
    backup.put(content)
    assert check(service, name, version)["state"] == "sound"


def test_a_lost_chunk_and_a_damaged_manifest_are_found(service: Service) -> None:
    content = cell("gets lost")
    name, version = service.image(content)
    reader = service.machine("restore", image=name)
    service.chunk_path(content).unlink()
    found = check(service, name, version)
    assert found["problems"] == [{"digest": digest_of(content), "problem": "missing"}]
    answer = reader.request("GET", f"/v1/chunks/{digest_of(content)}")
    assert error_of(answer) == (404, "unknown_chunk")
    path = service.store / "images" / name / f"{version}.json"
    path.write_bytes(path.read_bytes().replace(b"disk0", b"disk1"))
    found = check(service, name, version)
    assert found["state"] == "broken"
    assert "damaged" in found["problems"][0]["problem"]
    listed = service.admin.get(f"/v1/images/{name}").json()["versions"]
    assert "damaged" in listed[0]["problem"]


def test_a_sound_read_is_remembered_and_a_full_check_is_not_fooled(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    content = cell("remembered")
    name, version = service.image(content)
    assert check(service, name, version)["state"] == "sound"
    service.flip(content)
    service.restart()
    pc = service.machine("restore", image=name, arrived=False)
    quick = service.session(pc.session, wait=10, until="image_checked")["image_check"]
    assert quick["state"] == "sound"
    size = service.chunk_path(content).stat().st_size
    assert quick["bytes_done"] == quick["bytes_total"] == size
    # A session can ask for all of it, and a restart meanwhile makes no difference to that.
    pc = service.machine("restore", image=name, arrived=False, full_check=True)
    asked = service.session(pc.session, wait=10, until="image_checked")["image_check"]
    assert asked["state"] == "broken"
    assert check(service, name, version)["state"] == "broken"


def test_a_read_before_the_kernel_died_says_nothing(own_service: Callable[..., Service]) -> None:
    service, content = own_service(), cell("read, and then lost")
    name, version = service.image(content)
    assert check(service, name, version)["state"] == "sound"
    service.flip(content)
    service.stop()
    service.suspect(content)
    service.start()
    pc = service.machine("restore", image=name, arrived=False)
    found = service.session(pc.session, wait=10, until="image_checked")["image_check"]
    assert found["state"] == "broken"


def test_a_chunk_with_another_size_than_its_cell(service: Service) -> None:
    short = b"shorter than its cell"
    pc = service.machine()
    pc.put(short)
    version = pc.publish(short).json()["version"]
    found = check(service, pc.name, version)
    assert found["state"] == "broken"
    assert "its cell has" in found["problems"][0]["problem"]


def test_nginx_is_told_which_file_to_send(own_service: Callable[..., Service]) -> None:
    service = own_service(accel_redirect="/internal/chunks")
    content = cell("accelerated")
    name, _ = service.image(content)
    digest = digest_of(content)
    answer = service.machine("verify", image=name).request("GET", f"/v1/chunks/{digest}")
    assert answer.headers["x-accel-redirect"] == (
        f"/internal/chunks/{digest[:2]}/{digest[2:4]}/{digest}"
    )
    assert answer.content == b""


def sound_or_absent(service: Service) -> int:
    """Every named chunk is whole, every listed version is sound; how many versions there are."""
    for path in (service.store / "chunks").rglob("*"):
        if path.is_file():
            check_frame(path.name, path.read_bytes())
    count = 0
    for image in service.admin.get("/v1/images").json()["images"]:
        for item in image["versions"]:
            assert item["problem"] is None
            assert check(service, image["name"], item["version"])["state"] == "sound"
            count += 1
    return count


@pytest.mark.plays
@pytest.mark.parametrize("delay", [0.01, 0.05])
def test_killed_while_chunks_arrive(own_service: Callable[..., Service], delay: float) -> None:
    service = own_service()
    name, version = service.image(cell("older version"))
    pc = service.machine()
    contents = [os.urandom(1 << 20) for _ in range(12)]

    def send() -> None:
        for content in contents:
            try:
                pc.put(content)
            except (httpx.TransportError, AssertionError):
                return

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(delay)
    service.stop(signal.SIGKILL)
    sender.join(20)
    service.start()
    assert list((service.store / "tmp").iterdir()) == []
    wanted = {"digests": [digest_of(content) for content in contents]}
    missing = pc.request("POST", "/v1/chunks/query", json=wanted).json()["missing"]
    for content in contents:
        if digest_of(content) in missing:
            pc.put(content)
    assert pc.publish(*contents).status_code == 201
    assert sound_or_absent(service) == 2
    assert check(service, name, version)["state"] == "sound"


@pytest.mark.plays
@pytest.mark.parametrize("delay", [0.002, 0.01])
def test_killed_while_publishing_and_asked_again(
    own_service: Callable[..., Service], delay: float
) -> None:
    service = own_service()
    pc = service.machine()
    contents = [cell(f"publish {number}") for number in range(4)]
    for content in contents:
        pc.put(content)

    def publish() -> None:
        try:
            pc.publish(*contents)
        except httpx.TransportError:
            return

    sender = threading.Thread(target=publish)
    sender.start()
    time.sleep(delay)
    service.stop(signal.SIGKILL)
    sender.join(20)
    service.start()
    assert sound_or_absent(service) in (0, 1)
    answer = pc.publish(*contents)
    assert answer.status_code in (200, 201)
    assert sound_or_absent(service) == 1
    assert pc.seen()["version"] == answer.json()["version"]
