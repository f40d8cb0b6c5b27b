# SPDX-License-Identifier: GPL-3.0-or-later
"""The role policy and what pulls: both roles mean the same, and no token gets out."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from ..server.conftest import Service
from ..server.test_keeping_plays import Plays
from ..teller.test_role import ROLE, SERVER, VARS, saying_of
from .test_settings import FOLDER, SECRET
from .test_settings import SERVER as SOURCE


def unit(**values: object) -> str:
    """The unit as the role makes it: what its variables name is looked up, too."""
    text = (ROLE / "templates/etc/systemd/system/slipway-puller.service.j2").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    while "{{" in text:
        made = environment.from_string(text)
        text = made.render({"ansible_managed": "test"} | VARS | values)
    return text


def test_both_roles_mean_the_same_socket_group_and_program() -> None:
    assert VARS["_policy_puller_socket"] == SERVER["_image_server_puller_socket"]
    assert VARS["_policy_puller_user"] == SERVER["_image_server_puller_group"]
    venv = SERVER["_image_server_venv"].replace(
        "{{ _image_server_prefix }}", SERVER["_image_server_prefix"]
    )
    assert VARS["_policy_puller_python"] == f"{venv}/bin/python"


@pytest.mark.parametrize("folders", [[], ["/media/usb/slipway"]])
def test_only_what_reads_a_folder_may_read_what_is_anothers(folders: list[str]) -> None:
    text = unit(_policy_puller_folders=folders)
    capability = "CAP_DAC_READ_SEARCH" if folders else ""
    for line in (
        "User=slipway-puller",
        f"CapabilityBoundingSet={capability}",
        f"AmbientCapabilities={capability}",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "InaccessiblePaths=-/var/lib/slipway/store",
    ):
        assert f"\n{line}\n" in text
    assert "/etc/slipway/tls" in text
    assert "ReadWritePaths" not in text


def test_who_writes_its_settings_says_nothing_of_them() -> None:
    saying = saying_of("policy_replicate", "pull.yml")
    assert len(saying) == 2
    assert [each["name"] for each in saying if not each.get("no_log")] == []


@pytest.mark.plays
def test_what_can_not_be_meant_is_refused_before_anything_and_without_tokens(
    tmp_path: Path,
) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "plays").mkdir()
    service = Service(tmp_path / "service", policy_dir=str(tmp_path / "service/policy")).start()
    try:
        plays = Plays(tmp_path / "plays", service)
        bad = {"berlin": SOURCE | {"from": "http://h"}, "usb": FOLDER | {"evry_hours": 1}}
        plays.say(policy_keep={"last": 1}, policy_replicate=bad)
        ran = plays.play("policy", "--diff", "-vvv")
        said = ran.stdout + ran.stderr
        assert ran.returncode != 0
        assert "policy_replicate.berlin.from: must be https://SERVER" in said
        assert "policy_replicate.usb.evry_hours: there is no such key" in said
        assert SECRET not in said
        assert not (service.folder / "policy/images.json").exists()
    finally:
        service.close()
