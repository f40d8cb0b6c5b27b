# SPDX-License-Identifier: GPL-3.0-or-later
"""An image server whose disk is wholly full: it says so, its lists work, and it starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from slipway_server.images.marked import SHARED, Marked

from ..unit.server.conftest import CELL, Service, cell
from ..unit.server.test_begun import until
from ..unit.server.test_page_socket import ask
from ..unit.server.test_prune import age, made, say

pytestmark = pytest.mark.storage
LISTS = (
    "/v1/images",
    "/v1/sessions",
    "/v1/jobs",
    "/v1/registrations",
    "/v1/next-boots",
    "/v1/identities",
    "/v1/status",
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, for all that the service writes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte is left of it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(disk).f_bavail == 0
    yield
    filler.unlink()


def is_full(answer: httpx.Response) -> bool:
    said = answer.json()
    return answer.status_code == 507 and said["error"].endswith("_full") and bool(said["remedy"])


def assert_lists(service: Service) -> None:
    for path in LISTS:
        assert service.admin.get(path).status_code == 200, path


def test_it_says_so_everywhere_and_goes_on_when_there_is_room(disk: Path) -> None:
    folder = disk / "service"
    folder.mkdir()
    service = Service(folder)
    try:
        service.start()
        content, other = cell("kept before"), cell("too late")
        name, _ = service.image(content)
        pc, late = service.machine(), service.machine(arrived=False)
        pc.put(content)
        with full(disk):
            assert_lists(service)
            assert is_full(late.check_in())
            assert is_full(service.ask(machine="more", macs=["52:54:00:cc:00:01"], verb="service"))
            assert is_full(pc.request("PUT", "/v1/chunks/" + "0" * 64, content=b"")) is False
            with pytest.raises(AssertionError, match="store_full"):
                pc.put(other)
            assert is_full(pc.publish(content))
            assert is_full(pc.request("POST", "/v1/session/result", json={"type": "result"}))
            assert pc.request("POST", "/v1/session/heartbeat", json={}).status_code == 200
            assert pc.request("GET", "/v1/images").status_code == 200
            assert_lists(service)
            service.restart()
            assert_lists(service)
            # What was remembered of manifests is gone, too: they are read, and shown all the same.
            service.stop()
            for file in service.state.glob("memory.sqlite3*"):
                file.unlink()
            service.start()
            listed = service.admin.get(f"/v1/images/{name}").json()["versions"]
            assert [each["problem"] for each in listed] == [None]
        pc.put(other)
        assert pc.publish(content, other).status_code == 201
        assert late.check_in().status_code == 200
    finally:
        service.close()


def test_what_is_begun_at_the_page_goes_on_without_a_note(disk: Path) -> None:
    """A collection above all: it is what makes room."""
    folder = disk / "service"
    folder.mkdir()
    service = Service(folder)
    try:
        service.start()
        name, version = service.image(cell("checked on a full disk"))
        with full(disk):
            check = ask(service, "POST", f"/v1/images/{name}/{version}/check")
            assert check.status_code == 202, check.text
            path = f"/v1/images/{name}/{version}/check"
            until(lambda: ask(service, "GET", path).json()["check"]["state"] == "sound")
            assert ask(service, "POST", "/v1/collect").status_code == 202
            until(lambda: ask(service, "GET", "/v1/upkeep").json()["under_way"] == [])
            done = ask(service, "GET", "/v1/upkeep").json()["collection"]
            assert done is not None and done["at"] > 0
            wanted = {"kind": "disk"}
            assert is_full(
                ask(service, "POST", f"/v1/images/{name}/{version}/downloads", json=wanted)
            )
            assert ask(service, "GET", "/v1/downloads").json()["downloads"] == []
    finally:
        service.close()


def test_prune_trash_and_collection_make_room(disk: Path) -> None:
    """The way out of a full disk: what they did is said, though it can't be noted."""
    folder = disk / "service"
    folder.mkdir()
    service = Service(folder, policy_dir=str(folder / "policy"))
    try:
        service.start()
        for day in range(1, 5):
            contents = [os.urandom(CELL) for _ in range(8)]
            made(service, "pc1", f"2026010{day}T000000Z", *contents)
        age(service, 3)
        say(service, keep={"last": 1})
        with full(disk):
            pruned = service.admin.post("/v1/prune", json={})
            assert pruned.status_code == 200, pruned.text
            assert len(pruned.json()["removed"]) == 3
            [deleted, *_] = pruned.json()["removed"]
            name, version = deleted.split("@")
            back = service.admin.post("/v1/trash/undelete", json={"name": name, "version": version})
            assert back.status_code == 200, back.text
            gone = service.admin.delete(f"/v1/images/{name}/{version}")
            assert gone.status_code == 200, gone.text
            assert service.admin.post("/v1/trash/empty", json={}).status_code == 200
            collected = service.admin.post("/v1/collect")
            assert collected.status_code == 200, collected.text
            assert collected.json()["removed"] == 24
            assert os.statvfs(disk).f_bavail > 0
            pc = service.machine()
            pc.put(cell("there is room again"))
    finally:
        service.close()


def test_what_many_versions_name_is_kept_in_mind_where_no_file_has_room(disk: Path) -> None:
    digests = [number.to_bytes(32) for number in range(20_000)]
    with full(disk):
        marked = Marked(disk / "spill", 50)
        marked.add(digests[:12_000], 0)
        marked.add(digests[10_000:15_000], 1)
        assert len(marked) == 15_000
        assert [marked.owner(digests[at]) for at in (5, 11_000, 14_000, 16_000)] == [
            0,
            SHARED,
            1,
            None,
        ]
        marked.close()
        assert not (disk / "spill").exists()
