# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus as the role writes them: all that is wrong with one is said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from slipway_server.choices.menu_files import MenuFiles

from .choosing import item, password_hash

GOOD: dict[str, Any] = {
    "machine": "pc1",
    "macs": ["52:54:00:00:00:01"],
    "items": [item("save", "backup", image="pc1"), item("back", "restore", images=["a", "b"])],
}


def write(folder: Path, name: str, **changes: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(GOOD | {"machine": name} | changes))


def test_all_faults_of_a_file_are_named_with_its_name_and_their_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "pc2")
    secret = password_hash()
    bad = [
        item("save", "wipe", password_hash=secret),
        item("Two", "backup", image="pc1"),
        item("three", "restore", image="../x"),
        item("four", "restore"),
        item("five", "backup", image="pc1", password_hash=secret + "$"),
    ]
    write(tmp_path, "pc1", macs=["nonsense"], items=bad, keymap="us init=/bin/sh")
    menus = MenuFiles(tmp_path)
    assert menus.of("pc1") is None
    assert menus.of("pc2") is not None, "nobody else suffers"
    said = caplog.text
    assert f"{tmp_path}/pc1.json: " in said and "menus.yml" in said
    for key in (
        "macs.0",
        "items.0.action",
        "items.1.id",
        "items.2.image",
        "items.3",
        "items.4",
        "keymap",
    ):
        assert f"{key}: " in said, said
    assert secret not in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        "[" * 100_000,
        '{"machine": "pc1"}',
        json.dumps(GOOD).replace("pc1", "pc2"),
    ],
)
def test_a_file_that_is_none_costs_its_machine_its_items(tmp_path: Path, text: str) -> None:
    (tmp_path / "pc1.json").write_text(text)
    assert MenuFiles(tmp_path).of("pc1") is None


def test_a_newer_role_may_say_more(tmp_path: Path) -> None:
    write(tmp_path, "pc1", colour="red", others=["local"])
    menu = MenuFiles(tmp_path).of("pc1")
    assert menu is not None and menu.all_items == ["save", "back", "local"]
