# SPDX-License-Identifier: GPL-3.0-or-later
"""Passphrases: they reach the agent, and nothing of them stays or shows."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils import _key_files
from slipway.cli.main import parse_arguments

KEYS = {"disk0:3": "päss phrase'$(id)", "disk1:1": "other"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_key_files, "FOLDER", tmp_path / "run/keys")
    return tmp_path / "run/keys"


def options(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"image": "pc1", "jobs_dir": str(tmp_path / "jobs"), "job": "job-1", **more}


def test_they_lie_in_files_for_root_alone(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    mock_command("slipway")
    starter = mock_command("systemd-run")
    result = run_module("disk_backup", **options(tmp_path, luks_keys=KEYS))
    assert not result.get("failed"), result
    given = dict(each.split("=", 1) for each in parse_arguments(result["command"][1:]).luks_key)
    assert {name: Path(path).read_text() for name, path in given.items()} == KEYS
    for path in map(Path, given.values()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (call,) = starter.calls
    assert f"--property=ExecStopPost=/bin/rm -rf {folder}/job-1" in call[: call.index("--")]
    for text in (json.dumps(result), json.dumps(call)):
        assert not any(json.dumps(key)[1:-1] in text for key in KEYS.values())


def test_nothing_stays_of_a_job_that_did_not_start(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    mock_command("slipway")
    mock_command("systemd-run", body=f"ls {folder}/job-1/0 || exit 7; exit 1")
    result = run_module("disk_backup", **options(tmp_path, luks_keys=KEYS))
    assert result["error"] == "agent_not_started"
    assert list(folder.iterdir()) == []


def test_another_jobs_files_are_left_alone(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    mock_command("slipway")
    starter = mock_command("systemd-run")
    (folder / "job-1").mkdir(parents=True)
    (folder / "job-1/0").write_text("in use")
    result = run_module("disk_backup", **options(tmp_path, luks_keys=KEYS))
    assert result["error"] == "no_key_files"
    assert (folder / "job-1/0").read_text() == "in use"
    assert starter.calls == []


def test_no_files_without_passphrases(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    mock_command("slipway")
    starter = mock_command("systemd-run")
    run_module("disk_backup", **options(tmp_path))
    run_module("disk_backup", check_mode=True, **options(tmp_path, luks_keys=KEYS))
    assert not folder.exists()
    assert not any("ExecStopPost=/bin/rm" in word for call in starter.calls for word in call)
