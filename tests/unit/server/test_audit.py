# SPDX-License-Identifier: GPL-3.0-or-later
"""Each action of a person is a line: of whom, about what, how it went; and a line stays."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from slipway_server.apps import APPS
from slipway_server.base.audit import KEPT, Audit, Line
from slipway_server.base.state_file import NAME, StateFile

from .choosing import Runner, item, make_chooser, order, password_hash
from .conftest import Service, cell
from .path_values import filled

ALICE = {"Slipway-By": "alice"}


def lines(service: Service, most: int = 100) -> list[dict[str, Any]]:
    answer = service.admin.get("/v1/audit", params={"most": most})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["lines"]
    return found


def last(service: Service) -> tuple[Any, ...]:
    """What the newest line says, but for its time."""
    keys = ("who", "role", "where", "verb", "subject", "outcome", "before", "after")
    return tuple(lines(service, 1)[0][key] for key in keys)


def test_what_an_administrator_does(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    here = ("administrator", "admin socket")
    body = {"machine": pc.name, "verb": "backup"}
    job = service.admin.post("/v1/jobs", json=body, headers=ALICE).json()["id"]
    assert last(service) == ("alice", *here, "order a job", pc.name, "done", None, "backup")
    assert order(service, pc.name, image="other").status_code == 409
    refused = ("order a job", pc.name, "machine_busy", None, "backup other")
    assert last(service) == ("root", *here, *refused)
    service.admin.delete(f"/v1/jobs/{job}", headers=ALICE)
    ended = ("cancel a job", f"{pc.name}, job {job}", "done", "queued", "cancelled")
    assert last(service) == ("alice", *here, *ended)

    boot = {"machine": pc.name, "macs": [pc.mac], "item": "backup"}
    service.admin.post("/v1/next-boots", json=boot)
    service.admin.post("/v1/next-boots", json=boot | {"item": "restore"})
    assert last(service)[3:] == ("order a boot", pc.name, "done", "backup", "restore")
    service.admin.delete(f"/v1/next-boots/{pc.name}")
    assert last(service)[3:] == ("take a boot back", pc.name, "done", "restore", None)

    known = len(lines(service))
    service.admin.get("/v1/jobs")
    assert len(lines(service)) == known, "to look is no action"


def test_what_is_refused_before_it_is_looked_at(service: Service) -> None:
    service.admin.post("/v1/jobs", json={"machine": "pc1", "verb": "erase"}, headers=ALICE)
    assert last(service)[3:] == ("order a job", "", "bad_request", None, None)
    service.admin.delete("/v1/jobs/" + "0" * 16, headers=ALICE)
    assert last(service)[3:] == ("cancel a job", "0" * 16, "no_such_job", None, None)


@pytest.mark.parametrize("name", ["x" * 65, "a b", "../x", "{{ 1 }}"])
def test_a_name_that_is_none_acts_nothing(service: Service, name: str) -> None:
    pc = make_chooser(service)
    body = {"machine": pc.name, "verb": "backup"}
    answer = service.admin.post("/v1/jobs", json=body, headers={"Slipway-By": name})
    assert answer.status_code == 422
    assert last(service)[5] == "bad_request"
    assert Runner(service).poll()["begin"] == []


def test_what_the_user_of_a_pc_does(service: Service) -> None:
    locked = item("backup", "backup", image="x", password_hash=password_hash())
    pc = make_chooser(service, locked)
    assert pc.choose("backup", password="no").status_code == 403
    wrong = ("choose an item", pc.mac, "wrong_password", None, "backup")
    assert last(service) == ("", "user", "10.77.0.21", *wrong)
    known = len(lines(service, 10_000))
    for _ in range(20):
        pc.choose("nothing")
    assert len(lines(service, 10_000)) == known, "anybody could fill it"


def test_every_root_route_that_acts_leaves_a_line(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = service.image(cell("audit"))
    acting = [key for key, rule in APPS["admin"].rules.items() if not key.startswith("GET ")]
    assert len(acting) > 8
    for key in acting:
        method, path = key.split(" ")
        known = len(lines(service))
        service.admin.request(method, filled(path, name=name, version=version), json={})
        assert len(lines(service)) == known + 1, key
        assert lines(service)[-1]["verb"] == APPS["admin"].rules[key].action


def test_a_line_is_there_after_the_service_was_killed(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    assert order(service, pc.name).status_code == 201
    before = lines(service)
    service.restart(9)
    assert lines(service) == before
    order(service, pc.name)
    assert [line["number"] for line in lines(service)] == [1, 2]
    older = service.admin.get("/v1/audit", params={"before": 2}).json()["lines"]
    assert older == before


def test_the_file_itself_refuses_to_change_a_line(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    audit = Audit(state)
    line = Line(0.0, "alice", "administrator", "admin socket", "order a job", "pc1", "done")
    state.write_now(
        ("INSERT INTO audit (at, body) VALUES (?, ?)", [(0.0, "{}")] * (KEPT + 1)),
    )
    for statement in (
        "UPDATE audit SET at = 1",
        "UPDATE audit SET body = '{}' WHERE number = 7",
        "DELETE FROM audit",
        f"DELETE FROM audit WHERE number = {KEPT + 1}",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="stays as it is"):
            state.write_now((statement, [()]))
    asyncio.run(audit.add(line))
    assert audit.read(1, None)[0]["who"] == "alice"
    state.close()
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        assert db.execute("SELECT count(*), min(number) FROM audit").fetchone() == (KEPT, 3)
