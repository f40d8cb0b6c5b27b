# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom schedules name, and what the modules of schedules change and show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.filter.schedule_table import schedule_table
from ansible_collections.slipway.imaging.plugins.plugin_utils._schedule_machines import (
    schedule_machines,
    schedule_relays,
)

GROUPS = {
    "all": ["img", "img2", "pc1", "pc2", "pc3", "pc-teacher", "printer"],
    "image_servers": ["img", "img2"],
    "machines": ["pc1", "pc2", "pc3", "pc-teacher"],
    "room_3": ["pc1", "pc2", "pc-teacher", "printer"],
    "room_4": ["pc3"],
}
HOSTVARS: dict[str, dict[str, Any]] = {name: {"groups": GROUPS} for name in GROUPS["all"]}


def machines(pattern: Any, **more: Any) -> Any:
    said = {"nightly": {"verb": "backup", "machines": pattern}}
    return schedule_machines(said, HOSTVARS | more, "img")["nightly"]["machines"]


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("room_3:room_4:!pc-teacher", ["pc1", "pc2", "pc3"]),
        ("machines", ["pc-teacher", "pc1", "pc2", "pc3"]),
        # Neither servers nor printers are machines.
        ("all", ["pc-teacher", "pc1", "pc2", "pc3"]),
        ("room_3:&machines:!pc-*", ["pc1", "pc2"]),
        ("pc[12]", []),
        ("pc1,pc2", ["pc1", "pc2"]),
        ("~pc[12]", ["pc1", "pc2"]),
        ("room_9", []),
        # Ansible itself takes that for everybody.
        ("", []),
        (" ", []),
        # What is no pattern is the service's to refuse.
        (["pc1"], ["pc1"]),
        (5, 5),
    ],
)
def test_whom_a_pattern_names(pattern: Any, named: Any) -> None:
    assert machines(pattern) == named


@pytest.mark.parametrize(
    ("pattern", "unknown"),
    [
        ("room_3:rom_4", ["rom_4 (did you mean room_4 or room_3?)"]),
        # Whom it was meant to leave out would be saved, or written.
        ("machines:!pc-teachr", ["!pc-teachr (did you mean pc-teacher?)"]),
        ("machines,&offices,pc9", ["&offices", "pc9 (did you mean pc3 or pc2 or pc1?)"]),
        ("room_9", ["room_9 (did you mean room_4 or room_3?)"]),
        # Nobody is who was to be left out: unless it looks like a slip, that is well.
        ("machines:!elsewhere", []),
        # What is left open names nobody: there may be none of them yet.
        ("machines:!lab-*:!~spare", []),
        ("room_3:&machines:!pc-*", []),
        ("img2:pc1:printer", []),
        ("", []),
    ],
)
def test_a_pattern_that_names_what_is_not_there(pattern: str, unknown: list[str]) -> None:
    said = schedule_machines({"nightly": {"machines": pattern}}, HOSTVARS, "img")["nightly"]
    assert said.get("unknown", []) == unknown


def test_machines_of_another_server_are_its_own() -> None:
    other = {"pc2": {"groups": GROUPS, "machine_image_server": "img2"}}
    assert machines("room_3", **other) == ["pc-teacher", "pc1"]
    assert schedule_machines("nightly", HOSTVARS, "img") == "nightly"
    assert schedule_machines({"n": None}, HOSTVARS, "img") == {"n": None}


def test_who_is_woken_by_a_relay() -> None:
    relayed = HOSTVARS | {"pc2": {"groups": GROUPS, "machine_wake_relay": "img2"}}
    said = {"n": {"machines": "room_3"}, "m": {"machines": "room_4"}, "x": 5}
    assert schedule_relays(said, relayed, "img") == ["pc2"]
    assert schedule_relays(said, HOSTVARS, "img") == []


SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "verb": "backup",
    "machines": ["pc1", "pc2"],
    "days": ["mon", "tue"],
    "from": "20:00",
    "to": "06:00",
    "time_zone": "Europe/Berlin",
    "open": None,
    "skips": None,
    "paused_until": None,
    "every_days": 1,
    "alarm_days": 3,
    "next": {"key": "2026-12-01", "begins": "2026-12-01T19:00:00Z", "ends": "2026-12-02T05:00:00Z"},
    "windows": [
        {
            "key": "2026-11-30",
            "begins": "2026-11-30T19:00:00Z",
            "ends": "2026-12-01T05:00:00Z",
            "by": "",
            "closed": None,
            "missed": False,
            "counts": {"done": 1, "no_answer": 1},
        },
    ],
}


@pytest.mark.parametrize(
    ("state", "until", "now", "asked"),
    [
        ("run", None, {}, ("run", None)),
        ("run", None, {"open": "2026-11-30"}, None),
        ("skipped", None, {}, ("skip", None)),
        ("skipped", None, {"skips": "2026-12-01"}, None),
        ("skipped", None, {"skips": "2026-12-01", "open": "2026-11-30"}, ("skip", None)),
        ("paused", "2027-01-06", {}, ("pause", {"until": "2027-01-06"})),
        ("paused", "2027-01-06", {"paused_until": "2027-01-05T23:00:00Z"}, None),
        ("resumed", None, {}, None),
        ("resumed", None, {"paused_until": "2027-01-05T23:00:00Z"}, ("pause", {"until": None})),
    ],
)
def test_what_is_so_already_is_no_change(
    service: Any, run_module: Callable[..., Any], state: str, until: Any, now: Any, asked: Any
) -> None:
    service.answer("GET", "/v1/schedules/nightly", SCHEDULE | now)
    if asked:
        service.answer("POST", f"/v1/schedules/nightly/{asked[0]}", SCHEDULE)
    how = {"admin_socket": service.path, "name": "nightly", "state": state, "until": until}
    for check_mode in (True, False):
        assert run_module("schedule", check_mode, **how)["changed"] is (asked is not None)
    posts = [each for each in service.asked if each[0] == "POST"]
    wanted = [("POST", f"/v1/schedules/nightly/{asked[0]}", asked[1])] if asked else []
    assert posts == wanted


def test_a_time_that_is_none(service: Any, run_module: Callable[..., Any]) -> None:
    service.answer("GET", "/v1/schedules/nightly", SCHEDULE)
    how = {"admin_socket": service.path, "name": "nightly", "state": "paused"}
    assert "neither a date" in run_module("schedule", until="soon", **how)["msg"]
    assert "until" in run_module("schedule", **how)["msg"]


def test_the_table(service: Any, run_module: Callable[..., Any]) -> None:
    service.answer("GET", "/v1/schedules", {"schedules": [SCHEDULE]})
    found = run_module("schedule_info", admin_socket=service.path)["schedules"]
    lines = schedule_table(found)
    assert "20:00-06:00 Europe/Berlin" in lines[1] and "2026-12-01 19:00" in lines[1]
    assert "1 done, 1 no_answer" in lines[-1] and "the plan" in lines[-1]
    night = {
        "machine": "pc2",
        "outcome": "no_answer",
        "state": "ended",
        "tries": 2,
        "job": "0ff",
        "message": "It did not\x1b[2J come.",
        "remedy": "Look at it.",
    }
    nights = [{"key": "2026-11-30", "machines": [night]}]
    lines = schedule_table([SCHEDULE | {"nights": nights, "paused_until": "2027-01-05T23:00:00Z"}])
    assert "paused until 2027-01-05 23:00" in lines[1]
    assert lines[-1].startswith("pc2") and lines[-1].endswith("come. Look at it.")
    assert "\x1b" not in "".join(lines)
    assert "policy_schedules" in schedule_table([])[0]
