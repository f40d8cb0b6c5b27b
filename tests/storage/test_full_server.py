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

from ..unit.server.conftest import Service, cell
from ..unit.server.test_begun import until
from ..unit.server.test_page_socket import ask

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
