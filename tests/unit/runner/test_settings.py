# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that the role hands to the runner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from slipway_runner.__main__ import main
from slipway_runner.settings import SettingsError, load

GOOD = {"socket": "/s", "project": "/p", "inventory": "/i", "state": "/x"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runner.json"


def test_what_is_not_said_has_a_default(file: Path) -> None:
    file.write_text(json.dumps(GOOD | {"limit": 64}))
    settings = load(file)
    assert (settings.socket, settings.limit, settings.output_days) == (Path("/s"), 64, 30)


def test_all_that_is_wrong_is_said_at_once_with_file_and_key(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "socket": 1,
        "project": "relative",
        "inventory": None,
        "limit": 65,
        "seconds": 0,
        "output_bytes": "many",
        "output_days": True,
        "output_files": 1.5,
        "typo": 1,
    }
    file.write_text(json.dumps(wrong))
    assert main(["--check-config", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"slipway_runner: {file}: ") and len(said.splitlines()) == 1
    assert [key for key in (*wrong, "state") if f"{key}: " not in said] == []


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null", b"[" * 100_000, b'{"socket": "\xff"}'])
def test_a_file_that_is_none_is_named(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(SettingsError, match=f"^{file}: "):
        load(file)


def test_a_file_that_is_missing_is_named(file: Path) -> None:
    with pytest.raises(SettingsError, match=f"^can't read {file}: No such file"):
        load(file)
