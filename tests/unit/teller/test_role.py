# SPDX-License-Identifier: GPL-3.0-or-later
"""The role policy and who is told: both roles mean the same socket, and no secret gets out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from slipway_server.apps import APPS
from slipway_teller.settings import KINDS

from ..server.conftest import ROOT, Service
from ..server.test_keeping_plays import Plays

ROLE = ROOT / "roles/policy"
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())
SERVER = yaml.safe_load((ROOT / "roles/image_server/vars/main.yml").read_text())
UNITS = ROOT / "roles/image_server/templates/etc/systemd/system"
SECRET = "Tr0ub4dor-and-3"


def test_every_socket_of_the_service_has_its_unit() -> None:
    names = {
        unit.removeprefix("slipway-").removesuffix(".socket"): unit
        for unit in SERVER["_image_server_sockets"]
    }
    assert names.keys() == APPS.keys()
    for name, unit in names.items():
        text = (UNITS / f"{unit}.j2").read_text()
        assert f"\nFileDescriptorName={name}\n" in text
        assert f"\nSocketMode={APPS[name].mode:04o}\n" in text


def test_both_roles_mean_the_same_socket_and_group() -> None:
    assert VARS["_policy_teller_socket"] == SERVER["_image_server_teller_socket"]
    assert VARS["_policy_teller_user"] == SERVER["_image_server_teller_group"]
    template = (ROLE / "templates/etc/systemd/system/slipway-teller.service.j2").read_text()
    unit = (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(template)
        .render({"ansible_managed": "test"} | VARS)
    )
    for line in (
        "User=slipway-teller",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
    ):
        assert f"\n{line}\n" in unit
    assert "ReadWritePaths" not in unit


def saying_of(variable: str, file: str) -> list[dict[str, Any]]:
    """The tasks of a file of the role, and of its preflight, that have what a variable holds."""
    tasks = yaml.safe_load((ROLE / f"tasks/{file}").read_text())
    tasks += yaml.safe_load((ROLE / "tasks/preflight.yml").read_text())
    return [each for each in tasks if f"{variable} " in json.dumps(each)]


def test_who_writes_its_settings_says_nothing_of_them() -> None:
    saying = saying_of("policy_tell", "tell.yml")
    assert len(saying) == 2
    assert [each["name"] for each in saying if not each.get("no_log")] == []


def test_the_readme_names_every_kind() -> None:
    text = (ROLE / "README.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
    told = (ROOT / "roles/image_server/files/slipway_server/choices/telling.py").read_text()
    told += (ROOT / "roles/image_server/files/slipway_server/jobs/digests.py").read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in told] == []


def test_rules_of_the_example_ask_for_what_there_is() -> None:
    rules = yaml.safe_load((ROOT / "roles/image_server/alerts.example.yml").read_text())
    asked = set(re.findall(r"slipway_[a-z_]+", json.dumps(rules["groups"])))
    there = (ROOT / "roles/image_server/files/slipway_server/choices/metrics.py").read_text()
    assert asked
    assert [name for name in asked if f'"{name}"' not in there] == []


@pytest.mark.plays
def test_who_can_not_be_told_is_refused_before_anything_and_without_secrets(
    tmp_path: Path,
) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "plays").mkdir()
    service = Service(tmp_path / "service", policy_dir=str(tmp_path / "service/policy")).start()
    try:
        plays = Plays(tmp_path / "plays", service)
        mail = {"host": "h", "to": ["a@b.c"], "from": "a@b.c", "user": "u", "password": SECRET}
        plays.say(
            policy_keep={"last": 1},
            policy_tell={"it": {"mail": mail | {"security": "none"}}, "me": {"mial": mail}},
        )
        ran = plays.play("policy", "--diff", "-vvv")
        said = ran.stdout + ran.stderr
        assert ran.returncode != 0
        assert "policy_tell.it.mail.password: goes out in clear" in said
        assert "policy_tell.me: must have one of mail, webhook, alive" in said
        assert SECRET not in said
        assert not (service.folder / "policy/images.json").exists()
    finally:
        service.close()
