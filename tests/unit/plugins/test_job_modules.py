# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and next boots, as an administrator sees and orders them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.audit_table import audit_table
from ansible_collections.slipway.imaging.plugins.filter.job_options import OPTIONS, job_options
from ansible_collections.slipway.imaging.plugins.filter.job_table import job_table
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_wait import follow
from slipway_server.jobs.options import JOB_OPTIONS

JOB = {
    "id": "0123456789abcdef",
    "machine": "pc1",
    "item": "backup",
    "image": "pc1",
    "verb": "backup",
    "origin": "choice",
    "by": "",
    "arrival": "waits",
    "options": {},
    "after": "as_found",
    "session": None,
    "remedy": "",
    "state": "running",
    "outcome": None,
    "place": 0,
    "created": "2026-11-25T10:00:00Z",
    "started_at": "2026-11-25T10:00:01Z",
    "ended_at": None,
    "message": "",
}
ORDER = {
    "id": "fedcba9876543210",
    "machine": "pc1",
    "macs": ["52:54:00:77:00:01"],
    "item": "restore",
    "image": None,
    "created": "2026-11-25T10:00:00Z",
    "state": "armed",
    "outcome": None,
    "ended_at": None,
}
WANTED = {"machine": "pc1", "macs": ["52:54:00:77:00:01"]}


MENU = {"machine": "pc1", "items": ["local", "restore"]}


def test_an_order_for_the_next_boot(service: Any, run_module: Callable[..., Any]) -> None:
    service.answer("GET", "/v1/menus/pc1", MENU)
    service.answer("GET", "/v1/next-boots", {"next_boots": []})
    service.answer("POST", "/v1/next-boots", ORDER, 201)
    how = {"admin_socket": service.path, **WANTED}
    result = run_module("boot_once", item="restore", **how)
    assert result["changed"] and result["next_boot"] == ORDER
    assert service.asked[-1][2] == {**WANTED, "item": "restore", "image": None}
    service.answer("GET", "/v1/next-boots", {"next_boots": [ORDER]})
    assert not run_module("boot_once", item="restore", **how)["changed"]
    assert run_module("boot_once", item="restore", without_password=True, **how)["changed"]
    assert service.asked[-1][2]["without_password"] is True
    count = len(service.asked)
    assert run_module("boot_once", check_mode=True, item="local", **how)["changed"]
    looked = [method for method, *_ in service.asked[count:]]
    assert looked == ["GET", "GET"], "check mode only looks"


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_item_that_the_menu_has_not(
    service: Any, run_module: Callable[..., Any], check_mode: bool
) -> None:
    how = {"admin_socket": service.path, "check_mode": check_mode, **WANTED}
    service.answer("GET", "/v1/menus/pc1", MENU)
    result = run_module("boot_once", item="wipe", **how)
    assert result["failed"]
    assert "wipe" in result["msg"] and "local, restore" in result["msg"]
    refusal = {"error": "unknown_machine", "message": "none.", "remedy": "run menus.yml."}
    service.answer("GET", "/v1/menus/pc1", refusal, 404)
    assert "menus.yml" in run_module("boot_once", item="restore", **how)["msg"]
    assert {method for method, *_ in service.asked} == {"GET"}


def test_an_order_is_taken_back(service: Any, run_module: Callable[..., Any]) -> None:
    how = {"admin_socket": service.path, "machine": "pc1", "state": "absent"}
    service.answer("GET", "/v1/next-boots", {"next_boots": [ORDER | {"state": "ended"}]})
    assert not run_module("boot_once", **how)["changed"]
    service.answer("GET", "/v1/next-boots", {"next_boots": [ORDER]})
    service.answer("DELETE", "/v1/next-boots/pc1", {"next_boots": [ORDER]})
    assert run_module("boot_once", **how)["changed"]
    assert service.asked[-1][:2] == ("DELETE", "/v1/next-boots/pc1")


def test_a_job_is_cancelled_once(service: Any, run_module: Callable[..., Any]) -> None:
    how = {"admin_socket": service.path, "id": JOB["id"]}
    path = f"/v1/jobs/{JOB['id']}"
    service.answer("GET", path, JOB)
    service.answer("DELETE", path, JOB | {"state": "ended", "outcome": "cancelled"})
    assert run_module("job", check_mode=True, **how)["changed"]
    assert service.asked[-1][0] == "GET"
    assert run_module("job", **how)["job"]["outcome"] == "cancelled"
    service.answer("GET", path, JOB | {"state": "ended", "outcome": "done"})
    assert not run_module("job", **how)["changed"]


def test_jobs_are_listed(service: Any, run_module: Callable[..., Any]) -> None:
    other = JOB | {"machine": "pc2"}
    service.answer("GET", "/v1/jobs", {"jobs": [JOB, other], "runner": True})
    service.answer("GET", "/v1/next-boots", {"next_boots": [ORDER]})
    found = run_module("job_info", admin_socket=service.path)
    assert (len(found["jobs"]), len(found["next_boots"]), found["runner"]) == (2, 1, True)
    assert found["strangers"] == []
    found = run_module("job_info", admin_socket=service.path, machine="pc2")
    assert [job["machine"] for job in found["jobs"]] == ["pc2"]
    assert found["next_boots"] == []


def test_the_table() -> None:
    hostile = "\x1b[2J{{ 7*7 }}"
    queued = JOB | {"state": "queued", "place": 4, "started_at": None, "message": hostile}
    found = {"jobs": [JOB, queued], "next_boots": [ORDER], "runner": False}
    heading, running, waiting, order, runner = job_table(found)
    assert heading.split() == [
        "JOB",
        "MACHINE",
        "WHAT",
        "IMAGE",
        "FROM",
        "BY",
        "PC",
        "STATE",
        "SINCE",
        "(UTC)",
        "NOTE",
    ]
    assert "backup" in running and "choice" in running and "its user" in running
    assert "running" in running and "2026-11-25 10:00:01" in running
    assert "queued, place 4" in waiting and "\x1b" not in waiting
    assert order == "pc1 does restore at its next boot, once"
    assert "slipway-runner" in runner
    assert job_table({"jobs": [], "next_boots": [], "runner": True}) == ["No jobs."]


def test_the_table_says_who_ordered_what() -> None:
    ordered = JOB | {"item": None, "verb": "verify", "origin": "order", "by": "alice"}
    found = {"jobs": [ordered | {"arrival": "wakes"}], "next_boots": [], "runner": True}
    words = job_table(found)[1].split()
    assert words[:7] == [JOB["id"], "pc1", "verify", "pc1", "order", "alice", "wakes"]


ORDERED = JOB | {"item": None, "origin": "order", "by": "root", "arrival": "wakes"}


def test_a_job_is_ordered_once(service: Any, run_module: Callable[..., Any]) -> None:
    how = {"admin_socket": service.path, "state": "present", "machine": "pc1", "verb": "backup"}
    service.answer("GET", "/v1/jobs", {"jobs": [JOB], "runner": True})
    service.answer("POST", "/v1/jobs", ORDERED, 201)
    assert run_module("job", check_mode=True, **how)["changed"]
    body = {"machine": "pc1", "verb": "backup", "options": {}, "after": "as_found"}
    assert service.asked[-1] == ("POST", "/v1/jobs?check=true", body)
    made = run_module("job", **how)
    assert (made["changed"], made["job"]["id"]) == (True, JOB["id"])
    assert service.asked[-1] == ("POST", "/v1/jobs?check=false", body)
    service.answer("GET", "/v1/jobs", {"jobs": [ORDERED], "runner": True})
    assert not run_module("job", **how)["changed"]
    for other in ({"after": "reboot"}, {"options": {"disk_patience": 5}}, {"image": "x"}):
        assert run_module("job", **how | other)["changed"], "the service says that it is busy"


def test_an_order_that_is_refused(service: Any, run_module: Callable[..., Any]) -> None:
    how = {"admin_socket": service.path, "state": "present", "verb": "backup"}
    service.answer("GET", "/v1/jobs", {"jobs": [], "runner": True})
    no = {"error": "unknown_machine", "message": "no menu of pc9", "remedy": "add it"}
    service.answer("POST", "/v1/jobs", no, 404)
    failed = run_module("job", machine="pc9", **how)
    assert failed["failed"] and "no menu of pc9" in failed["msg"] and "add it" in failed["msg"]
    assert run_module("job", machine="PC 9", **how)["error"] == "bad_name"
    assert run_module("job", admin_socket=service.path, state="present")["failed"]


def seen(job: dict[str, Any], session: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jobs": [ORDERED | job], "session": session}


WAITS = {"state": "requested", "boot_script_served": 0, "progress": None}
WORKS = {"phase": "backup", "disk": "disk0", "partition": "1", "done": 43, "total": 100}
ENDED = {"image": "pc1", "version": "20260131T235959Z", "verb": "backup", "seconds": 11}


def test_a_job_is_followed_as_other_playbooks_show_it() -> None:
    looks = iter(
        [
            seen({"state": "queued", "place": 2}),
            seen({"state": "queued", "place": 2}),
            seen({"state": "running"}),
            seen({"state": "running"}, WAITS),
            seen({"state": "running"}, WAITS | {"state": "checked_in", "progress": WORKS}),
            seen(
                {"state": "ended", "outcome": "done"}, WAITS | {"progress": WORKS, "result": ENDED}
            ),
        ]
    )
    shown: list[str] = []
    job = follow("pc1", lambda: next(looks), shown.append, lambda _: None)
    assert job["outcome"] == "done"
    assert shown == [
        "pc1  waits for its turn, place 2",
        "pc1  the job runner begins",
        "pc1  waiting for the machine: boot script not fetched yet",
        "pc1  backup disk0:1  43 %  43 B of 100 B",
        "pc1  backup done  pc1@20260131T235959Z  read 0 B  sent 0 B  written 0 B  0:11",
    ]


@pytest.mark.parametrize("outcome", ["failed", "abandoned", "cancelled"])
def test_a_job_that_did_not_end_well_says_why(outcome: str) -> None:
    words = {"message": "pc1 was \x1b[2J switched off.", "remedy": "Order it again."}
    end = seen({"state": "ended", "outcome": outcome} | words)
    with pytest.raises(SlipwayError) as failure:
        follow("pc1", lambda: end, print, lambda _: None)
    assert outcome in failure.value.message and "switched off" in failure.value.message
    assert "\x1b" not in failure.value.message
    assert failure.value.remedy == "Order it again."


def test_a_jobs_options_have_the_types_that_the_service_wants() -> None:
    line = {"disk_keep_gaps": "yes", "disk_whole": "disk0:2,disk0:3", "disk_patience": "90"}
    more = {"disk_luks_keys": {"disk0:3": "secret"}, "disk_devices": ["/dev/sda"]}
    assert job_options(line | more, "backup") == {
        "disk_patience": 90,
        "disk_whole": ["disk0:2", "disk0:3"],
        "disk_keep_gaps": True,
    }
    assert job_options(line, "wake") == {}
    with pytest.raises(AnsibleFilterError, match="disk_patience can't be meant"):
        job_options({"disk_patience": "long"}, "backup")


def test_controller_and_service_know_the_same_options() -> None:
    known = {verb: set(model.model_fields) for verb, model in JOB_OPTIONS.items()}
    assert {verb: set(options) for verb, options in OPTIONS.items()} == known


def test_the_audit_is_read(service: Any, run_module: Callable[..., Any]) -> None:
    line = {
        "number": 7,
        "at": "2026-11-25T10:00:00Z",
        "who": "alice",
        "role": "administrator",
        "where": "admin socket",
        "verb": "cancel a job",
        "subject": "pc1, job 0123456789abcdef",
        "outcome": "done",
        "before": "queued",
        "after": "\x1b[2Jcancelled",
    }
    service.answer("GET", "/v1/audit", {"lines": [line, line | {"subject": "pc2"}]})
    found = run_module("audit_info", admin_socket=service.path, machine="pc1", most=5, before=9)
    assert found["lines"] == [line]
    assert service.asked[-1][1] == "/v1/audit?most=5&before=9"
    heading, said = audit_table(found["lines"])
    assert heading.split()[:2] == ["NUMBER", "WHEN"]
    assert "alice (administrator)" in said and "queued" in said and said.isprintable()
    assert audit_table([]) == ["No actions."]


def test_the_table_names_strangers() -> None:
    other = {
        "kind": "next_boot",
        "id": "x",
        "machine": "pc1",
        "address": "10.0.0.66\x1b[2J",
        "why": "its card is 52:54:00:00:00:66",
        "requests": 2,
        "first": "",
        "last": "",
    }
    found = {"jobs": [], "next_boots": [], "runner": True, "strangers": [other]}
    said = job_table(found)[1]
    assert "asked for the next boot of pc1 and was refused: its card is 52:54" in said
    assert said.isprintable()
