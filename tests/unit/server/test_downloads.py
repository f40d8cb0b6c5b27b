# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders looked into, files and disks taken out: by the service, with what reads beside it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from . import small_disks
from .conftest import Service, cell
from .reader_beside import POSSIBLE, Beside
from .test_audit import lines
from .test_begun import until
from .test_page_socket import ask

pytestmark = [
    pytest.mark.plays,
    pytest.mark.skipif(not POSSIBLE, reason="needs root and what exports are made with"),
    # What they leave behind is looked for in folders that all exports of a machine share.
    pytest.mark.xdist_group("export"),
]
FILES = {"hello.txt": b"hello", "folder/deep.bin": b"\x01\x02" * 3000, "a b'c$.txt": b"odd"}
Make = Callable[..., tuple[Service, Beside]]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Make]:
    made: list[Any] = []

    def make(**more: int) -> tuple[Service, Beside]:
        folder = tmp_path / "own"
        folder.mkdir()
        service = Service(folder, reader_socket=str(folder / "reader"))
        service.store.mkdir()
        beside = Beside(service, **more)
        made.extend([service, beside])
        return service.start(), beside

    yield make
    for each in made:
        each.close()


def read(service: Service, name: str, version: str, **where: str) -> Any:
    def look() -> Any:
        answer = ask(service, "GET", f"/v1/images/{name}/{version}/files", "operator", params=where)
        return answer.json() if answer.json().get("state") != "being read" else None

    return until(look)


def ordered(service: Service, name: str, version: str, **wanted: Any) -> dict[str, Any]:
    answer = ask(service, "POST", f"/v1/images/{name}/{version}/downloads", "operator", json=wanted)
    assert answer.status_code == 201, answer.text
    key = answer.json()["id"]
    until(lambda: seen(service, key)["ended"])
    return seen(service, key)


def seen(service: Service, key: str) -> dict[str, Any]:
    return dict(ask(service, "GET", f"/v1/downloads/{key}", "operator").json())


def test_a_file_is_looked_for_and_taken_out(served: Make, tmp_path: Path) -> None:
    service, beside = served()
    name, version, _ = small_disks.save(service, tmp_path, FILES)
    root = read(service, name, version, path="/")
    assert (root["kind"], root["partition"]) == ("folder", "disk0:1")
    entries = {each["name"]: (each["folder"], each["size"]) for each in root["entries"]}
    assert entries["hello.txt"] == (False, 5) and entries["folder"] == (True, None)
    where = {"partition": "disk0:1", "path": "/folder/deep.bin"}
    assert read(service, name, version, **where)["size"] == 6000
    # What was read once is there at once, and of those who may alone.
    path = f"/v1/images/{name}/{version}/files"
    assert ask(service, "GET", path, "operator").json()["state"] == "read"
    assert ask(service, "GET", path, "viewer").json()["error"] == "wrong_role"
    for path, content in FILES.items():
        made = ordered(service, name, version, kind="file", partition="disk0:1", path=f"/{path}")
        assert (made["state"], made["message"]) == ("ready", ""), path
        place = ask(service, "POST", f"/v1/downloads/{made['id']}/take", "operator").json()
        assert (place["called"], place["size"]) == (Path(path).name, len(content))
        assert (beside.spool / place["place"]).read_bytes() == content
    told = [(each["verb"], each["after"]) for each in lines(service, 2)]
    assert told == [
        ("take something out of an image", "file disk0:1 /a b'c$.txt"),
        ("download", "a b'c$.txt"),
    ]
    assert ask(service, "DELETE", f"/v1/downloads/{made['id']}", "operator").status_code == 200
    assert len(list(beside.spool.iterdir())) == 2
    assert ask(service, "GET", f"/v1/downloads/{made['id']}").json()["error"] == "no_such_download"


def test_a_disk_is_exported_and_outlasts_the_service(served: Make, tmp_path: Path) -> None:
    service, beside = served()
    name, version, saved = small_disks.save(service, tmp_path, FILES)
    made = ordered(service, name, version, kind="disk", format="qcow2")
    assert made["state"] == "ready" and made["total"] > 0
    assert made["called"] == f"{name}-{version}-disk0.qcow2"
    [path] = beside.spool.glob("*/*")
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", path, raw], check=True)
    assert raw.read_bytes() == saved
    (beside.spool / "left-by-another").mkdir()
    service.restart(signal.SIGKILL)
    assert seen(service, made["id"])["state"] == "ready"
    until(lambda: len(list(beside.spool.iterdir())) == 1)
    assert path.exists()


def test_what_is_cut_off_or_given_up_leaves_nothing(served: Make, tmp_path: Path) -> None:
    service, beside = served()
    name, version, _ = small_disks.save(service, tmp_path, FILES)
    path = f"/v1/images/{name}/{version}/downloads"
    made = ask(service, "POST", path, "operator", json={"kind": "disk", "format": "raw"}).json()
    assert made["state"] in ("waiting", "running")
    refused = ask(service, "POST", f"/v1/downloads/{made['id']}/take", "operator")
    assert refused.json()["error"] == "not_ready"
    assert ask(service, "DELETE", f"/v1/downloads/{made['id']}", "operator").status_code == 200
    made = ask(service, "POST", path, "operator", json={"kind": "disk", "format": "raw"}).json()
    service.restart(signal.SIGKILL)
    assert seen(service, made["id"])["state"] == "cut off"
    until(lambda: list(beside.spool.iterdir()) == [])


def test_what_can_not_be_is_refused_in_words(served: Make, tmp_path: Path) -> None:
    service, _ = served(leave=1 << 60)
    name, version, _ = small_disks.save(service, tmp_path, FILES)
    path = f"/v1/images/{name}/{version}/files"
    for where, word in (
        ({"path": "/nothing"}, "has no /nothing"),
        ({"partition": "disk7:1"}, "has no partition disk7:1"),
    ):
        answer = until(
            lambda where=where: (
                found
                if (found := ask(service, "GET", path, params=where)).status_code != 200
                else None
            )
        )
        assert (answer.status_code, answer.json()["error"]) == (409, "not_readable")
        assert word in answer.json()["message"]
    for where in (
        {"path": "x"},
        {"path": "/\x00"},
        {"path": "/" + "x" * 3000},
        {"partition": "a b"},
    ):
        assert ask(service, "GET", path, params=where).json()["error"] == "bad_request"
    path = f"/v1/images/{name}/{version}/downloads"
    for body in (
        {},
        {"kind": "file"},
        {"kind": "disk", "disk": "../x"},
        {"kind": "all"},
        {"kind": "disk", "format": "exe"},
        {"kind": "file", "path": "/x", "more": 1},
    ):
        assert ask(service, "POST", path, json=body).status_code == 422, body
    full = ordered(service, name, version, kind="disk")
    assert full["state"] == "failed" and "bytes left" in full["message"] and full["remedy"]


def test_without_what_looks_into_images_it_is_said(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = service.image(cell("nobody looks into this"))
    answer = ask(service, "GET", f"/v1/images/{name}/{version}/files")
    assert (answer.status_code, answer.json()["error"]) == (409, "no_reader")
    made = ordered(service, name, version, kind="disk")
    assert (made["state"], made["remedy"]) == ("failed", "Run site.yml, which sets it up.")
    service.reconfigure(reader_socket=str(service.folder / "gone"))
    answer = ask(service, "GET", f"/v1/images/{name}/{version}/files")
    assert (answer.status_code, answer.json()["error"]) == (503, "reader_down")


def test_they_are_bounded_and_go_after_a_day(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = service.image(cell("thirty times"))
    path = f"/v1/images/{name}/{version}/downloads"
    made = [ask(service, "POST", path, json={"kind": "disk"}) for _ in range(31)]
    assert [each.status_code for each in made] == [201] * 30 + [429]
    assert made[-1].json()["error"] == "too_many_downloads"
    until(lambda: all(each["ended"] for each in listed(service)))
    service.stop()
    # One of them ended the day before yesterday.
    with closing(sqlite3.connect(service.state / "state.sqlite3")) as db, db:
        key = f"download/{made[7].json()['id']}"
        [[text]] = db.execute("SELECT body FROM upkeep WHERE key = ?", [key])
        body = json.loads(text) | {"ended": time.time() - 2 * 86400}
        db.execute("UPDATE upkeep SET body = ? WHERE key = ?", [json.dumps(body), key])
    service.start()
    until(lambda: len(listed(service)) == 29)
    assert made[7].json()["id"] not in [each["id"] for each in listed(service)]
    assert ask(service, "POST", path, json={"kind": "disk"}).status_code == 201


def listed(service: Service) -> list[dict[str, Any]]:
    return list(ask(service, "GET", "/v1/downloads", "operator").json()["downloads"])
