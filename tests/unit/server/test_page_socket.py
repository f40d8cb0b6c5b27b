# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's socket: what it shows of machines, and what it may order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .choosing import item, make_chooser, order
from .conftest import Service, cell
from .test_audit import lines
from .test_registrations import hardware, report
from .test_who_may import as_user


def ask(service: Service, method: str, path: str, role: str = "admin", **more: Any) -> Any:
    answer: httpx.Response = service.web.request(
        method, path, headers=as_user(role, more.pop("groups", "*")), **more
    )
    return answer


def shown(service: Service, name: str) -> dict[str, Any]:
    machines = ask(service, "GET", "/v1/machines").json()["machines"]
    [found] = [each for each in machines if each["name"] == name]
    return dict(found)


def test_a_machine_is_shown_with_what_was_saved_of_it(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc = make_chooser(service)
    assert shown(service, pc.name) | {"macs": []} == {
        "name": pc.name,
        "macs": [],
        "groups": [],
        "address": None,
        "saved": None,
        "job": None,
        "session": None,
        "heard": None,
        "model": "",
    }
    saving = service.machine(machine=pc.name, mac=pc.mac, arrived=False, image=pc.name)
    hardware = {"model": "Canary 9", "disks": [{"serial": "S1"}]}
    assert saving.check_in(hardware=hardware).status_code == 200
    saving.put(cell("one"))
    version = saving.publish(cell("one")).json()["version"]
    found = shown(service, pc.name)
    assert (found["saved"]["version"], found["model"]) == (version, "Canary 9")
    assert found["session"] == saving.session
    told = ask(service, "GET", f"/v1/machines/{pc.name}").json()
    assert told["hardware"] == hardware
    assert [each["action"] for each in told["items"]] == ["backup"]
    assert ask(service, "GET", "/v1/machines/nobody").json()["error"] == "unknown_machine"


def test_jobs_and_sessions_of_one_machine(service: Service) -> None:
    first, second = make_chooser(service), make_chooser(service)
    for pc in (first, second):
        assert order(service, pc.name, "wake").status_code == 201
        service.machine(machine=pc.name, mac=pc.mac, arrived=False, image=pc.name)
    for kind in ("jobs", "sessions"):
        found = ask(service, "GET", f"/v1/{kind}?machine={first.name}").json()[kind]
        assert [each["machine"] for each in found] == [first.name]
        assert ask(service, "GET", f"/v1/{kind}?machine=nobody").json()[kind] == []
        assert ask(service, "GET", f"/v1/{kind}?machine=a/b").json()["error"] == "bad_request"


def test_what_the_page_orders_is_the_pages_and_its_users(service: Service) -> None:
    pc = make_chooser(service)
    before = len(lines(service, 10_000))
    plan = ask(service, "GET", "/v1/plan", params={"machine": pc.name, "verb": "backup"}).json()
    assert (plan["origin"], plan["by"], plan["image"]) == ("web", "anna", pc.name)
    assert len(lines(service, 10_000)) == before, "to look is no action"
    body = {"machine": pc.name, "verb": "backup"}
    made = ask(service, "POST", "/v1/jobs", json=body).json()
    assert (made["origin"], made["by"]) == ("web", "anna")
    assert ask(service, "POST", "/v1/jobs", "viewer", json=body).status_code == 403
    told = [
        (each["who"], each["role"], each["where"], each["outcome"]) for each in lines(service, 2)
    ]
    assert told == [
        ("anna", "admin", "page, 10.77.0.9", "done"),
        ("anna", "viewer", "page, 10.77.0.9", "wrong_role"),
    ]


@pytest.mark.parametrize("most", [0, 2])
def test_restores_from_the_page_are_bounded(own_service: Callable[..., Service], most: int) -> None:
    service = own_service(page_restores_per_hour=most)
    name, _ = service.image(cell("restored"))
    for number in range(most + 1):
        pc = make_chooser(service)
        body = {"machine": pc.name, "verb": "restore", "image": name}
        plan = ask(service, "GET", "/v1/plan", params=body)
        answer = ask(service, "POST", "/v1/jobs", json=body)
        assert plan.status_code == (200 if number < most else 403)
        assert answer.status_code == (201 if number < most else 403), answer.text
    assert answer.json()["error"] == "restores_bounded"
    # Others are not: a backup overwrites nothing, and root has no such bound.
    body = {"machine": pc.name, "verb": "backup"}
    assert ask(service, "POST", "/v1/jobs", json=body).status_code == 201
    assert order(service, make_chooser(service).name, "restore", image=name).status_code == 201


def test_a_deletion_says_who_it_was(service: Service) -> None:
    name, version = service.image(cell("first of two"))
    machine = service.machine(image=name)
    machine.put(cell("second of two"))
    assert machine.publish(cell("second of two"), name=name).status_code == 201
    assert ask(service, "DELETE", f"/v1/images/{name}/{version}").status_code == 200
    trash = ask(service, "GET", "/v1/trash").json()["trash"]
    [there] = [each for each in trash if each["name"] == name]
    assert there["by"] == "anna"


def test_a_boot_that_the_page_orders_overwrites_no_disk(service: Service) -> None:
    name, _ = service.image(cell("of a menu"))
    items = [item("save", "backup", image=name), item("write", "restore", image=name)]
    pc = make_chooser(service, *items, others=["memory"])
    path = f"/v1/next-boots/{pc.name}"
    for wanted in ("save", "memory"):
        made = ask(service, "POST", path, "operator", json={"item": wanted})
        assert (made.status_code, made.json().get("by")) == (201, "anna"), made.text
        assert ask(service, "GET", f"/v1/machines/{pc.name}").json()["armed"] == wanted
    refused = ask(service, "POST", path, json={"item": "write"})
    assert (refused.status_code, refused.json()["error"]) == (403, "restores_bounded")
    assert ask(service, "POST", path, json={"item": "nothing"}).json()["error"] == "no_such_item"
    assert ask(service, "POST", path, "viewer", json={"item": "save"}).status_code == 403
    nobody = ask(service, "POST", "/v1/next-boots/nobody-here", json={"item": "save"})
    assert nobody.json()["error"] == "unknown_machine"
    assert ask(service, "GET", f"/v1/machines/{pc.name}").json()["armed"] == "memory"
    assert ask(service, "DELETE", path, "operator").status_code == 200
    assert ask(service, "GET", f"/v1/machines/{pc.name}").json()["armed"] is None


def test_an_approval_has_itself_carried_out_where_the_inventory_is(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    service.reconfigure(approve_file=str(service.state / "approve"))
    key = service.http.post("/v1/registrations", json=report(8)).json()["registration"]["id"]
    file, path = service.state / "approve", f"/v1/registrations/{key}/wish"
    for role, body in (("operator", {"machine": "pc8"}), ("admin", {"machine": "a/b"})):
        assert ask(service, "POST", path, role, json=body).status_code >= 400
    assert ask(service, "POST", "/v1/registrations/0/wish", json={"machine": "x"}).is_error
    assert not file.exists(), "what is refused starts nothing"
    assert ask(service, "POST", path, json={"machine": "pc8"}).status_code == 200
    assert file.read_bytes() == b""
    assert ask(service, "POST", path, json={"machine": "pc9"}).status_code == 200
    # Where it can't be made, the decision is kept all the same, and no link is followed.
    file.unlink()
    file.symlink_to(service.folder / "elsewhere")
    assert ask(service, "POST", path, json={"machine": "pc7"}).json()["wish"] == "pc7"
    assert not (service.folder / "elsewhere").exists()


@pytest.mark.plays
def test_an_approval_at_the_page_is_a_decision_about_what_was_seen(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()

    def tell(**changes: Any) -> dict[str, Any]:
        said = service.http.post("/v1/registrations", json=report(9, **changes))
        assert said.status_code == 201, said.text
        [found] = ask(service, "GET", "/v1/registrations").json()["registrations"]
        return dict(found)

    key = tell()["id"]
    path = f"/v1/registrations/{key}/wish"
    assert ask(service, "POST", path, "operator", json={"machine": "pc9"}).status_code == 403
    for name in ("all", "PC 9", "../x"):
        assert ask(service, "POST", path, json={"machine": name}).status_code == 422, name
    wished = ask(service, "POST", path, json={"machine": "pc9"}).json()
    assert (wished["state"], wished["wish"], wished["wished_by"]) == ("waiting", "pc9", "anna")
    service.restart()
    assert tell()["wish"] == "pc9", "asking again changes nothing"
    other = tell(hardware=hardware(serial="of another"))
    assert (other["id"], other["wish"]) == (key, None), "that is not what anna has seen"
    service.admin.post(f"/v1/registrations/{key}/refuse", json={"reason": ""})
    late = ask(service, "POST", path, json={"machine": "pc9"})
    assert (late.status_code, late.json()["error"]) == (409, "already_decided")
