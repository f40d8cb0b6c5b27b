# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine does at its next boot, once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from .choosing import PASSWORD, Chooser, Runner, item, make_chooser, password_hash
from .conftest import Service, cell


def order(service: Service, pc: Chooser, wanted: str = "backup", **more: Any) -> str:
    """Give an order; return the id that the script will name."""
    body = {"machine": pc.name, "macs": [pc.mac], "item": wanted} | more
    answer = service.admin.post("/v1/next-boots", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_once_and_never_again(service: Service) -> None:
    pc = make_chooser(service)
    made = order(service, pc)
    script = pc.boot()
    assert script.status_code == 200
    assert f"slipway.item=backup slipway.once={made}" in script.text
    assert "/environment.ipxe" in script.text
    assert pc.boot().status_code == 404, "the second boot is an ordinary one"


@pytest.mark.plays
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_used_up_before_the_script_is_out(
    own_service: Callable[..., Service], number: signal.Signals
) -> None:
    service = own_service()
    pc = make_chooser(service)
    order(service, pc)
    service.restart(number)
    assert pc.boot().status_code == 200, "an order outlives a restart"
    service.restart(number)
    assert pc.boot().status_code == 404, "and so does its end"


def test_an_order_asks_for_the_password_too(service: Service) -> None:
    pc = make_chooser(service, item("b", "backup", image="x", password_hash=password_hash()))
    made = order(service, pc, "b")
    pc.boot()
    assert pc.choose("b", once=made).json()["error"] == "password_required"
    taken = pc.choose("b", once=made, password=PASSWORD)
    assert taken.status_code == 201
    job = service.admin.get(f"/v1/jobs/{taken.json()['job']['id']}").json()
    assert job["origin"] == "next_boot"
    service.admin.delete(f"/v1/jobs/{job['id']}")


def test_without_password_it_needs_none_once(service: Service) -> None:
    pc = make_chooser(service, item("b", "backup", image="x", password_hash=password_hash()))
    made = order(service, pc, "b", without_password=True)
    assert pc.choose("b", once=made).json()["error"] == "password_required", "not served yet"
    pc.boot()
    assert pc.choose("b", once="0" * 16).json()["error"] == "password_required"
    taken = pc.choose("b", once=made)
    assert taken.status_code == 201
    job = service.admin.get(f"/v1/jobs/{taken.json()['job']['id']}").json()
    assert job["origin"] == "next_boot"
    service.admin.delete(f"/v1/jobs/{job['id']}")
    assert pc.choose("b", once=made).json()["error"] == "password_required", "used up"


def test_an_order_is_for_its_machine_and_its_item(service: Service) -> None:
    hashed = password_hash()
    items = [item(name, "backup", image=name, password_hash=hashed) for name in ("a", "b")]
    pc, other = make_chooser(service, *items), make_chooser(service, *items)
    made = order(service, pc, "a", without_password=True)
    assert other.boot().status_code == 404
    pc.boot()
    assert other.choose("a", once=made).json()["error"] == "password_required"
    assert pc.choose("b", once=made).json()["error"] == "password_required"


def test_an_item_that_boots_no_environment_leads_on_to_the_menu(service: Service) -> None:
    pc = make_chooser(service)
    order(service, pc, "memtest")
    script = pc.boot().text
    mac = pc.mac.replace(":", "-")
    assert script.splitlines() == [
        "#!ipxe",
        "set slwonce memtest",
        f"chain --replace http://10.77.0.1/boot/{mac}.ipxe",
    ]
    assert pc.boot().status_code == 404, "what it chains to is the menu"


def test_a_session_comes_first(service: Service) -> None:
    """A machine woken for a job runs that job; the order waits for the boot after it."""
    pc = make_chooser(service)
    order(service, pc)
    session = service.ask(machine=pc.name, macs=[pc.mac], verb="backup", image="x").json()["id"]
    assert f"slipway.session={session}" in pc.boot().text
    service.admin.delete(f"/v1/sessions/{session}")
    assert "slipway.item=backup" in pc.boot().text
    assert pc.boot().status_code == 404


def test_the_last_order_counts_and_can_be_taken_back(service: Service) -> None:
    pc = make_chooser(service, item("a", "backup", image="a"), item("b", "backup", image="b"))
    order(service, pc, "a")
    order(service, pc, "b")
    assert "slipway.item=b" in pc.boot().text
    order(service, pc, "a")
    listed = service.admin.get("/v1/next-boots").json()["next_boots"]
    armed = [each for each in listed if each["machine"] == pc.name and each["state"] == "armed"]
    assert [each["item"] for each in armed] == ["a"]
    gone = service.admin.delete(f"/v1/next-boots/{pc.name}").json()["next_boots"]
    assert [each["outcome"] for each in gone] == ["cancelled"]
    assert service.admin.delete(f"/v1/next-boots/{pc.name}").json()["next_boots"] == []
    assert pc.boot().status_code == 404


def test_an_image_for_an_item_with_a_list(service: Service) -> None:
    name, _ = service.image(b"\1" * (1 << 20))
    pc = make_chooser(service, item("pick", "restore", images=[name, "other"]))
    made = order(service, pc, "pick", image=name)
    pc.boot()
    taken = pc.choose("pick", once=made)
    assert taken.json()["job"]["image"] == name
    service.admin.delete(f"/v1/jobs/{taken.json()['job']['id']}")


@pytest.mark.plays
@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_a_power_cut_at_any_step_is_followed_by_an_ordinary_boot(
    own_service: Callable[..., Service], steps: int, number: signal.Signals | None
) -> None:
    """Of a restore that an administrator ordered; with and without a crash of the service."""
    service = own_service(silent_seconds=2)
    name, _ = service.image(cell("power cut"))
    pc = make_chooser(service, item("r", "restore", image=name))
    runner = Runner(service)
    made = order(service, pc, "r")
    assert "slipway.item=r" in pc.boot().text
    found: dict[str, Any] = {}
    todo = [
        lambda: pc.choose("r", once=made).status_code == 201,
        lambda: found.update(job=runner.poll()["begin"][0]) is None,
        lambda: found.update(session=runner.open_session(found["job"]).json()["id"]) is None,
        lambda: pc.check_in(found["session"]).status_code == 200,
        lambda: runner.end(found["job"]["id"]) is not False,
    ]
    for do in todo[:steps]:
        assert do()
    if number is not None:
        service.restart(number)
    # The power is cut here, and comes back: nothing may lead into the restore again.
    for _ in range(3):
        assert pc.boot().status_code == 404
    for _ in range(100):
        jobs = service.admin.get("/v1/jobs").json()["jobs"]
        runner.poll(free=0)
        if all(each["state"] == "ended" or each["session"] for each in jobs):
            break
        time.sleep(0.1)
    assert pc.boot().status_code == 404


def test_the_service_says_what_a_machine_may_be_ordered_to_do(service: Service) -> None:
    pc = make_chooser(service, item("b", "backup", image="x"), others=["local", "memtest"])
    menu = service.admin.get(f"/v1/menus/{pc.name}")
    assert menu.json() == {"machine": pc.name, "items": ["b", "local", "memtest"]}
    none = service.admin.get("/v1/menus/nobody")
    assert (none.status_code, none.json()["error"]) == (404, "unknown_machine")
    assert "menus.yml" in none.json()["remedy"]
