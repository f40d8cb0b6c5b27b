# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that start the agent, with fake programs on PATH."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.cli.main import parse_arguments

PROBED = [{"disk": "disk0", "device": "/dev/sda", "partitions": [], "error": None}]


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {"image": "pc1", "jobs_dir": str(folder / "jobs"), "job": "job-1", **more}


@pytest.fixture
def agent(mock_command: Callable[..., Any]) -> Any:
    return mock_command("slipway", json.dumps({"type": "result", "disks": PROBED}))


@pytest.fixture
def starter(mock_command: Callable[..., Any]) -> Any:
    return mock_command("systemd-run")


def started(starter: Any) -> list[str]:
    (call,) = starter.calls
    return call[call.index("--") + 1 :]


def test_a_backup_is_started_detached(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path
) -> None:
    more = {"disks": ["/dev/sda"], "threads": 2, "whole": ["disk0:2"]}
    result = run_module("disk_backup", **options(tmp_path, **more))
    assert result["unit"] == "slipway-job-job-1"
    assert result["log"] == f"{tmp_path}/jobs/job-1.jsonl"
    assert f"--property=StandardOutput=append:{result['log']}" in starter.calls[0]
    assert "--unit=slipway-job-job-1" in starter.calls[0]
    session = "--session /run/slipway/session.json --job job-1 --json"
    expected = f"backup /dev/sda --name pc1 --level 3 --whole disk0:2 {session} --threads 2"
    assert started(starter)[1:] == expected.split()
    assert agent.calls == []


def test_whatever_ends_the_agent_is_told(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path
) -> None:
    """systemd takes the quotes away, and puts in how the unit ended."""
    old = tmp_path / "jobs/job-1.jsonl"
    old.parent.mkdir()
    old.write_text("of an earlier job with that name")
    result = run_module("disk_backup", **options(tmp_path, session_file="/run/my session.json"))
    assert not old.exists()
    [behind] = [
        word.removeprefix("--property=ExecStopPost=-")
        for word in starter.calls[0]
        if "ExecStopPost" in word
    ]
    words = shlex.split(behind)
    for name, value in (("SERVICE_RESULT", "signal"), ("EXIT_STATUS", "KILL")):
        words = [word.replace(f"${{{name}}}", value) for word in words]
    assert words[0].endswith("systemd-run") and "--no-block" in words
    assert {"--setenv=SERVICE_RESULT=signal", "--setenv=EXIT_STATUS=KILL"} <= set(words)
    told = parse_arguments(words[words.index("--") + 2 :])
    assert (told.verb, told.unit, told.job) == ("ended", result["unit"], "job-1")
    assert (str(told.session), str(told.log)) == ("/run/my session.json", result["log"])


def test_options_for_failing_disks(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path
) -> None:
    run_module("disk_backup", **options(tmp_path, max_unreadable=0, rescue_minutes=5))
    command = started(starter)
    assert command[6:10] == ["--max-unreadable", "0", "--rescue-minutes", "5"]
    run_module("disk_restore", **options(tmp_path, allow_degraded=True))
    assert "--allow-degraded" in starter.calls[-1]


def test_a_backup_in_check_mode_only_looks(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path
) -> None:
    result = run_module("disk_backup", check_mode=True, **options(tmp_path))
    assert (result["changed"], result["disks"]) == (True, PROBED)
    assert agent.calls == [["probe", "--json"]]
    more = {"whole": ["disk0:2"], "unclean": "whole", "keep_gaps": True}
    run_module("disk_backup", check_mode=True, **options(tmp_path, **more))
    same = ["--whole", "disk0:2", "--unclean", "whole", "--keep-gaps"]
    assert agent.calls[1] == ["probe", *same, "--json"]
    assert starter.calls == []


@pytest.mark.parametrize(
    "refused",
    [
        {"error": {"message": "in use", "remedy": "unmount it", "error": "source_refused"}},
        {"partitions": [{"partition": "1", "method": "refused", "reason": "hibernated"}]},
    ],
)
def test_check_mode_says_that_a_backup_would_be_refused(
    mock_command: Callable[..., Any],
    run_module: Callable[..., Any],
    tmp_path: Path,
    refused: dict[str, Any],
) -> None:
    answer = {"type": "result", "disks": [{**PROBED[0], **refused}]}
    mock_command("slipway", json.dumps(answer))
    result = run_module("disk_backup", check_mode=True, **options(tmp_path))
    assert result["error"] == "source_refused"


def test_check_mode_names_all_that_would_be_refused(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path
) -> None:
    parts = [
        {
            "partition": number,
            "method": "refused",
            "reason": why,
            "remedy": f"--whole disk0:{number}",
        }
        for number, why in (("1", "hibernated"), ("3", "damaged"))
    ]
    answer = {"type": "result", "disks": [{**PROBED[0], "partitions": parts}]}
    mock_command("slipway", json.dumps(answer))
    result = run_module("disk_backup", check_mode=True, **options(tmp_path))
    for word in ("hibernated", "damaged", "--whole disk0:1", "--whole disk0:3"):
        assert word in result["msg"]


def test_check_mode_returns_what_the_agent_warns_of(
    mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path
) -> None:
    answer = {"type": "result", "disks": [{**PROBED[0], "warnings": ["not zero"]}, PROBED[0]]}
    mock_command("slipway", json.dumps(answer))
    result = run_module("disk_backup", check_mode=True, **options(tmp_path))
    assert result["agent_warnings"] == ["not zero"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_restore_in_check_mode_is_a_dry_run(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path, check_mode: bool
) -> None:
    more = {"image": "pc1@20260131T235959Z", "targets": {"disk0": "/dev/disk/by-id/ata-X"}}
    run_module("disk_restore", check_mode=check_mode, **options(tmp_path, **more))
    command = started(starter)
    target = ["--target", "disk0=/dev/disk/by-id/ata-X"]
    assert command[1:5] == ["restore", "pc1@20260131T235959Z", *target]
    assert ("--dry-run" in command) == check_mode


@pytest.mark.parametrize("check_mode", [False, True])
def test_parts_of_a_restore(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path, check_mode: bool
) -> None:
    more = {"partitions": ["disk0:2", "disk1:5"], "grow": ["last"], "read_back": True}
    run_module("disk_restore", check_mode=check_mode, **options(tmp_path, **more))
    text = " ".join(started(starter))
    assert "restore pc1 --partition disk0:2 --partition disk1:5 --grow last" in text
    assert "--read-back" in text
    assert ("--dry-run" in text) == check_mode


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"partition": "disk0:3", "move": True}, "--grow disk0:3 --move disk0:3"),
        ({"partition": "disk0:3", "move": "yes"}, "--grow disk0:3 --move disk0:3"),
        ({"partition": "disk0:3", "move": "false"}, "--grow disk0:3"),
        ({"partition": "last"}, "--grow last"),
    ],
)
def test_what_lies_behind_moves_when_asked(
    agent: Any,
    starter: Any,
    run_module: Callable[..., Any],
    tmp_path: Path,
    item: dict[str, Any],
    expected: str,
) -> None:
    run_module("disk_restore", **options(tmp_path, grow=[item, "disk1:2"]))
    assert f"restore pc1 {expected} --grow disk1:2" in " ".join(started(starter))


def test_a_comparison(
    agent: Any, starter: Any, run_module: Callable[..., Any], tmp_path: Path
) -> None:
    run_module("disk_compare", check_mode=True, **options(tmp_path))
    assert started(starter)[1:3] == ["compare", "pc1"]


@pytest.mark.parametrize(
    ("module", "bad", "error"),
    [
        ("disk_backup", {"image": "../x"}, "bad_name"),
        ("disk_backup", {"image": "pc1@20260131T235959Z"}, "bad_name"),
        ("disk_backup", {"disks": ["--store=/x"]}, "bad_disk"),
        ("disk_backup", {"disks": ["/dev/../etc/passwd"]}, "bad_disk"),
        ("disk_backup", {"whole": ["--debug"]}, "bad_disk"),
        ("disk_backup", {"job": "../x"}, "bad_name"),
        ("disk_restore", {"image": "-oProxyCommand=x"}, "bad_name"),
        ("disk_restore", {"targets": {"disk0": "sda"}}, "bad_disk"),
        ("disk_restore", {"partitions": ["--store=/x"]}, "bad_disk"),
        ("disk_restore", {"grow": ["last; reboot"]}, "bad_disk"),
        ("disk_restore", {"grow": [{"partition": "--store=/x", "move": True}]}, "bad_disk"),
        ("disk_restore", {"grow": [{"partition": "disk0:2", "moves": True}]}, "bad_disk"),
        ("disk_restore", {"grow": [{"partition": "disk0:2", "move": "perhaps"}]}, "bad_disk"),
        ("disk_restore", {"grow": [{"move": True}]}, "bad_disk"),
        ("disk_restore", {"grow": [["disk0:2"]]}, "bad_disk"),
        ("disk_restore", {"targets": {"a=b": "/dev/sda"}}, "bad_disk"),
        ("disk_compare", {"image": "pc1@newest"}, "bad_version"),
        ("disk_compare", {"partitions": ["--whole"]}, "bad_disk"),
        ("disk_backup", {"luks_keys": {"disk0:3=/etc/shadow": "x"}}, "bad_disk"),
        ("disk_backup", {"luks_keys": {"disk0:3": ""}}, "bad_passphrase"),
        ("disk_backup", {"luks_keys": {"disk0:3": 20261124}}, "bad_passphrase"),
    ],
)
def test_nothing_is_started_for_bad_values(
    agent: Any,
    starter: Any,
    run_module: Callable[..., Any],
    tmp_path: Path,
    module: str,
    bad: dict[str, Any],
    error: str,
) -> None:
    result = run_module(module, **options(tmp_path, **bad))
    assert (result["failed"], result["error"]) == (True, error)
    assert agent.calls == starter.calls == []


@pytest.mark.parametrize(
    ("module", "more"),
    [
        ("disk_backup", {"level": 9, "whole": ["disk0:2"], "disks": ["/dev/sda"]}),
        ("disk_backup", {"unclean": "whole", "keep_gaps": True}),
        ("disk_backup", {"max_unreadable": 512, "rescue_minutes": 5}),
        ("disk_restore", {"allow_degraded": True}),
        ("disk_restore", {"partitions": ["disk0:2", "disk1:5"], "read_back": True}),
        ("disk_restore", {"grow": ["last", "disk1:3"]}),
        ("disk_restore", {"grow": [{"partition": "last", "move": True}, "disk1:3"]}),
        ("disk_restore", {"targets": {"disk0": "/dev/sda"}, "disks": ["/dev/sda"]}),
        ("disk_compare", {"partitions": ["disk0:2", "disk1:5"]}),
        ("disk_compare", {"image": "pc1@20260131T235959Z", "targets": {"disk0": "/dev/sda"}}),
    ],
)
def test_the_agent_understands_its_command_line(
    agent: Any,
    starter: Any,
    run_module: Callable[..., Any],
    tmp_path: Path,
    module: str,
    more: dict[str, Any],
) -> None:
    result = run_module(module, **options(tmp_path, threads=2, **more))
    arguments = parse_arguments(result["command"][1:])
    assert arguments.json
    assert arguments.threads == 2
    assert arguments.session == Path("/run/slipway/session.json")
    assert arguments.name or arguments.image == more.get("image", "pc1")


def test_systemd_says_why_it_starts_nothing(
    agent: Any, mock_command: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path
) -> None:
    mock_command("systemd-run", "", 1, "Unit was already loaded\n")
    result = run_module("disk_restore", **options(tmp_path))
    assert result["error"] == "agent_not_started"
    assert "already loaded" in result["msg"]


def test_outside_the_imaging_environment(
    run_module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_module("disk_info")["error"] == "no_agent"


def test_disk_info(agent: Any, run_module: Callable[..., Any]) -> None:
    assert run_module("disk_info")["disks"] == PROBED


def test_a_failed_probe_keeps_the_agents_words(
    mock_command: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    error = {"type": "error", "error": "tool_failed", "message": "no lsblk", "remedy": "add it"}
    mock_command("slipway", json.dumps(error), 11)
    result = run_module("disk_info")
    assert (result["error"], result["msg"]) == ("tool_failed", "no lsblk Remedy: add it")
