# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and next boots, as an administrator sees and orders them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.filter.job_table import job_table

JOB = {
    "id": "0123456789abcdef", "machine": "pc1", "item": "backup", "image": "pc1",
    "state": "running", "outcome": None, "place": 0, "created": "2026-11-25T10:00:00Z",
    "started_at": "2026-11-25T10:00:01Z", "ended_at": None, "message": "",
}  # fmt: skip
ORDER = {
    "id": "fedcba9876543210", "machine": "pc1", "macs": ["52:54:00:77:00:01"], "item": "restore",
    "image": None, "created": "2026-11-25T10:00:00Z", "state": "armed", "outcome": None,
    "ended_at": None,
}  # fmt: skip
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
        "JOB", "MACHINE", "ITEM", "IMAGE", "STATE", "SINCE", "(UTC)", "NOTE",
    ]  # fmt: skip
    assert "running" in running and "2026-11-25 10:00:01" in running
    assert "queued, place 4" in waiting and "\x1b" not in waiting
    assert order == "pc1 does restore at its next boot, once"
    assert "slipway-runner" in runner
    assert job_table({"jobs": [], "next_boots": [], "runner": True}) == ["No jobs."]


def test_the_table_names_strangers() -> None:
    other = {
        "kind": "next_boot", "id": "x", "machine": "pc1", "address": "10.0.0.66\x1b[2J",
        "why": "its card is 52:54:00:00:00:66", "requests": 2, "first": "", "last": "",
    }  # fmt: skip
    found = {"jobs": [], "next_boots": [], "runner": True, "strangers": [other]}
    said = job_table(found)[1]
    assert "asked for the next boot of pc1 and was refused: its card is 52:54" in said
    assert said.isprintable()
