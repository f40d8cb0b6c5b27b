# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of schedules on a real service: handed over, shown, run, paused, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .choosing import make_chooser
from .conftest import Service
from .test_keeping_plays import Plays

pytestmark = pytest.mark.plays

NIGHTLY: dict[str, Any] = {
    "verb": "backup",
    "machines": "machines:!elsewhere",
    "days": ["mon", "tue"],
    "from": "20:00",
    "to": "06:00",
}


@pytest.fixture
def plays(own_service: Callable[..., Service], tmp_path: Path) -> Plays:
    folder = tmp_path / "plays"
    folder.mkdir()
    return Plays(folder, own_service(policy_dir=str(tmp_path / "0/policy")))


def test_a_schedule_from_the_inventory_to_the_table(plays: Plays) -> None:
    service = plays.service
    pcs = {make_chooser(service).name: {} for _ in range(2)}
    (name, _) = pcs
    plays.say(pcs | {"elsewhere": {}}, policy_schedules={"nightly": NIGHTLY})
    foretold = plays.done("policy", "--check", "--diff")
    assert f"+schedule nightly: backup of {name}, mon tue 20:00 to 06:00 (UTC)" in foretold
    assert service.admin.get("/v1/schedules").json()["schedules"] == []
    assert plays.changed(plays.done("policy")) > 0
    assert plays.changed(plays.done("policy")) == 0
    [shown] = service.admin.get("/v1/schedules").json()["schedules"]
    assert shown["machines"] == sorted(pcs) and shown["pattern"] == NIGHTLY["machines"]

    assert plays.changed(plays.done("schedules", "-e", "skip=nightly")) == 1
    paused = plays.done("schedules", "-e", "pause=nightly", "-e", "until=2099-01-06")
    assert "paused until 2099-01-06 00:00" in paused
    again = plays.done("schedules", "-e", "pause=nightly", "-e", "until=2099-01-06")
    assert plays.changed(again) == 0
    plays.done("schedules", "-e", "resume=nightly")
    ran = plays.done("schedules", "-e", "run=nightly", "-e", "schedule=nightly")
    assert "open now" in ran and plays.changed(ran) == 1
    refused = plays.play("schedules", "-e", "run=nihtly")
    assert refused.returncode != 0 and "did you mean nightly?" in refused.stdout


def test_what_can_not_be_meant_is_refused_all_at_once(plays: Plays) -> None:
    pcs = {make_chooser(plays.service).name: {} for _ in range(2)}
    left = next(iter(pcs))
    said = {
        "nobody": NIGHTLY | {"machines": "room_9"},
        "all the same": NIGHTLY | {"verb": "verify", "machines": f"machines:!{left}x"},
        "empty": NIGHTLY | {"to": "20:00"},
        "typo": NIGHTLY | {"evry_days": 2},
        "one": NIGHTLY,
        "two": NIGHTLY | {"machines": next(iter(pcs))},
    }
    plays.say(pcs, policy_schedules=said, policy_time_zone="Europe/Berln", policy_keep={"dayly": 1})
    refused = plays.play("policy")
    assert refused.returncode != 0
    for words in (
        "'room_9' matches no machine",
        f"the inventory has no !{left}x (did you mean {left}",
        "has no length",
        "did you mean every_days?",
        "both backup",
        "did you mean Europe/Berlin?",
        "did you mean daily?",
        "Nothing was changed.",
    ):
        assert words in refused.stdout, words
    assert not (plays.service.folder / "policy/schedules.json").exists()


def test_a_machine_that_the_server_can_not_wake_is_refused(plays: Plays) -> None:
    pc = make_chooser(plays.service).name
    plays.say({pc: {"machine_wake_relay": "img"}}, policy_schedules={"nightly": NIGHTLY})
    refused = plays.play("policy")
    assert refused.returncode != 0 and "machine_wake_relay" in refused.stdout
    plays.say({pc: {}}, policy_shedules=json.dumps({}))
    assert "policy_shedules" in plays.play("policy").stdout
