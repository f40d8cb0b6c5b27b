# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for machines that are off: ordered, given to the runner, and ended whatever happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from .choosing import Chooser, Runner, make_chooser, order, write_menu
from .conftest import ADDRESS, HOST_KEY, Service, cell, ticket_in


def pending(service: Service) -> list[dict[str, Any]]:
    """The sessions that have not ended."""
    found = service.admin.get("/v1/sessions").json()["sessions"]
    return [each for each in found if each["state"] != "ended"]


def begin(service: Service) -> tuple[Chooser, Runner, dict[str, Any], str]:
    """An ordered backup whose session waits for its PC."""
    pc, runner = make_chooser(service), Runner(service)
    assert order(service, pc.name).status_code == 201
    [job] = runner.poll()["begin"]
    made = runner.open_session(job)
    assert made.status_code == 201, made.text
    return pc, runner, job, made.json()["id"]


def test_an_ordered_job_from_the_order_to_its_end(own_service: Callable[..., Service]) -> None:
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    answer = service.admin.post(
        "/v1/jobs",
        json={"machine": pc.name, "verb": "backup", "options": {"disk_unclean": "whole"}},
        headers={"Slipway-By": "alice"},
    )
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["origin"], job["arrival"], job["by"]) == ("order", "wakes", "alice")
    assert (job["verb"], job["image"], job["after"]) == ("backup", pc.name, "as_found")
    assert (job["item"], job["state"], job["place"]) == (None, "queued", 1)
    assert pc.boot().status_code == 404, "nothing is asked of the PC before its turn"

    [given] = runner.poll()["begin"]
    assert given["options"] == {"disk_unclean": "whole"}
    session = runner.open_session(given).json()["id"]
    script = pc.boot()
    assert script.status_code == 200 and session in script.text
    report = {"session": session, "macs": [pc.mac], "host_key": HOST_KEY, "agent_version": "0.1.0"}
    arrived = service.http.post(
        "/v1/checkin",
        json=report | {"ticket": ticket_in(script.text)},
        headers={"X-Real-IP": ADDRESS},
    )
    assert arrived.status_code == 200, arrived.text
    assert pc.boot().status_code == 404, "a power cut must not repeat the job"
    service.runner.delete(f"/v1/sessions/{session}", params={"outcome": "done"})
    assert runner.end(job["id"])["outcome"] == "done"
    assert pending(service) == []


@pytest.mark.parametrize(("after", "leave"), [("as_found", "poweroff"), ("reboot", "reboot")])
def test_a_pc_whose_runner_is_gone_leaves_by_itself(
    service: Service, after: str, leave: str
) -> None:
    pc, runner = make_chooser(service), Runner(service)
    assert order(service, pc.name, after=after).status_code == 201
    [job] = runner.poll()["begin"]
    session = runner.open_session(job).json()["id"]
    report = {"session": session, "macs": [pc.mac], "host_key": HOST_KEY, "agent_version": "0.1.0"}
    arrived = service.http.post("/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS})
    token = {"Authorization": f"Bearer {arrived.json()['token']}"}
    runner.end(job["id"], "failed")
    beat = service.http.post("/v1/session/heartbeat", json={}, headers=token)
    assert (beat.status_code, beat.json()["leave"]) == (410, leave)


def test_a_machine_that_never_comes_gets_its_menu_afterwards(service: Service) -> None:
    pc, runner, job, session = begin(service)
    assert pc.boot().status_code == 200
    runner.end(job["id"], "abandoned", message="it did not come")
    assert service.session(session)["outcome"] == "cancelled"
    assert pc.boot().status_code == 404


@pytest.mark.parametrize(
    "how", ["runner is killed", "service is killed", "runner goes", "cancelled"]
)
def test_no_session_is_left_pending(own_service: Callable[..., Service], how: str) -> None:
    service = own_service(runner_silent_seconds=5)
    pc, runner, job, _ = begin(service)
    assert pc.boot().status_code == 200
    if how == "cancelled":
        service.admin.delete(f"/v1/jobs/{job['id']}")
    elif how == "service is killed":
        service.restart(signal.SIGKILL)
        assert pc.boot().status_code == 200, "the attempt goes on"
    if how in ("runner is killed", "service is killed"):
        # Another one starts, and has none of its jobs.
        Runner(service).poll()
    ended = wait_for(service, job["id"])
    assert ended["outcome"] == ("cancelled" if how == "cancelled" else "failed")
    assert how == "cancelled" or ended["message"]
    assert pending(service) == []
    assert pc.boot().status_code == 404, "the PC is its user's again"
    assert runner.open_session(job).json()["error"] == "wrong_job", "a playbook that lives on"


def wait_for(service: Service, job: str) -> dict[str, Any]:
    """The job, once it has ended."""
    deadline = time.monotonic() + 30
    while (seen := service.admin.get(f"/v1/jobs/{job}").json())["state"] != "ended":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = seen
    return found


def test_a_machine_that_is_silent_is_off_and_not_lost(own_service: Callable[..., Service]) -> None:
    service = own_service(silent_seconds=1)
    pc, chooser = make_chooser(service), make_chooser(service)
    assert order(service, pc.name).status_code == 201
    assert chooser.choose("backup").status_code == 201
    lost = service.admin.get("/v1/jobs").json()["jobs"][1]
    assert wait_for(service, lost["id"])["outcome"] == "abandoned"
    assert service.admin.get("/v1/jobs").json()["jobs"][0]["state"] == "queued"


REFUSED = {
    "an unknown machine": ({"machine": "nobody"}, "unknown_machine"),
    "a name that is none": ({"machine": "PC 1"}, "bad_request"),
    "no machine": ({"machine": None}, "bad_request"),
    "an unknown verb": ({"verb": "erase"}, "bad_request"),
    "a menu's action": ({"verb": "rescue_shell"}, "bad_request"),
    "a restore of nothing": ({"verb": "restore"}, "bad_request"),
    "an unknown image": ({"verb": "restore", "image": "nothing"}, "unknown_image"),
    "nothing to compare with": ({"verb": "verify"}, "unknown_image"),
    "a version to write": ({"image": "x@20260131T235959Z"}, "bad_request"),
    "an image that is none": ({"image": "../x"}, "bad_request"),
    "an image to wake": ({"verb": "wake", "image": "x"}, "bad_request"),
    "free text": ({"options": {"extra": "{{ 1 }}"}}, "bad_request"),
    "a playbook's own variable": ({"options": {"imaging_session_after": "stay"}}, "bad_request"),
    "another verb's option": ({"options": {"disk_read_back": True}}, "bad_request"),
    "an option in another type": ({"options": {"disk_keep_gaps": "yes"}}, "bad_request"),
    "a template in a list": ({"options": {"disk_whole": ["disk0:{{ 1 }}"]}}, "bad_request"),
    "an option of waking": ({"verb": "wake", "options": {"disk_patience": 5}}, "bad_request"),
    "another ending": ({"after": "stay"}, "bad_request"),
    "a key that is none": ({"origin": "schedule"}, "bad_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_orders_are_refused_and_nothing_is_kept(service: Service, case: str) -> None:
    pc, runner = make_chooser(service), Runner(service)
    changes, error = REFUSED[case]
    known = len(service.admin.get("/v1/jobs").json()["jobs"])
    for check in ("true", "false"):
        body = {"machine": pc.name, "verb": "backup"} | changes
        answer = service.admin.post("/v1/jobs", json=body, params={"check": check})
        assert answer.json()["error"] == error, answer.text
        assert "{{" not in answer.text, "what was sent is not sent back"
    assert len(service.admin.get("/v1/jobs").json()["jobs"]) == known
    assert runner.poll()["begin"] == []


def test_a_machine_without_a_card_is_refused(service: Service) -> None:
    write_menu(service, "cardless", [], [])
    answer = order(service, "cardless")
    assert answer.json()["error"] == "unknown_machine"
    assert "MAC" in answer.json()["message"]


def test_a_look_keeps_nothing(service: Service) -> None:
    pc = make_chooser(service)
    body = {"machine": pc.name, "verb": "backup"}
    seen = service.admin.post("/v1/jobs", json=body, params={"check": "true"})
    assert (seen.status_code, seen.json()["id"]) == (201, "")
    assert Runner(service).poll()["begin"] == []


def test_a_machine_has_one_wish_at_a_time(service: Service) -> None:
    pc = make_chooser(service)
    first = order(service, pc.name).json()
    second = order(service, pc.name)
    assert (second.status_code, second.json()["error"]) == (409, "machine_busy")
    assert pc.choose("backup").json()["error"] == "machine_busy"
    service.admin.delete(f"/v1/jobs/{first['id']}")
    asked = service.ask(machine=pc.name, macs=[pc.mac], verb="backup", image=pc.name)
    assert order(service, pc.name).json()["session"] == asked.json()["id"]
    service.admin.delete(f"/v1/sessions/{asked.json()['id']}")
    taken = order(service, pc.name)
    assert taken.status_code == 201
    service.admin.delete(f"/v1/jobs/{taken.json()['id']}")


def test_what_is_restored_or_compared_is_there(service: Service) -> None:
    name, version = service.image(cell("ordered"))
    for verb, image in (("restore", f"{name}@{version}"), ("verify", name)):
        pc, runner = make_chooser(service), Runner(service)
        assert order(service, pc.name, verb, image=image).status_code == 201
        [job] = runner.poll()["begin"]
        made = runner.open_session(job)
        assert (made.json()["image"], made.json()["version"]) == (name, version)
        runner.end(job["id"])


def test_several_wakes_leave_together(service: Service) -> None:
    pcs = [make_chooser(service) for _ in range(5)]
    for pc in pcs:
        assert order(service, pc.name, "wake").status_code == 201
    runner = Runner(service)
    given = runner.poll(free=4)["begin"]
    assert [job["machine"] for job in given] == [pc.name for pc in pcs[:4]]
    for job in given + runner.poll()["begin"]:
        runner.end(job["id"])


def test_where_a_machine_may_be(own_service: Callable[..., Service]) -> None:
    service = own_service()
    machine = service.machine()
    service.lease(machine.mac, "10.77.0.99")
    path = f"/v1/whereabouts/{machine.name}"
    for client in (service.admin, service.runner):
        found = client.get(path, params={"mac": machine.mac}).json()
        assert found == {"addresses": ["10.77.0.99"], "host_key": HOST_KEY}
    nobody = service.admin.get("/v1/whereabouts/nobody", params={"mac": "52:54:00:00:00:ff"})
    assert nobody.json() == {"addresses": [], "host_key": None}
    assert service.admin.get(path, params={"mac": "x"}).status_code == 422
