# SPDX-License-Identifier: GPL-3.0-or-later
"""Following jobs: the action plugins over a fake connection that runs fake programs."""

import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader  # noqa: F401  (completes the plugin loaders)
from ansible_collections.slipway.imaging.plugins.plugin_utils import _follow, _job_action
from slipway.net import client
from slipway_server.sessions import session

RESULT = {
    "type": "result",
    "verb": "restore",
    "changed": True,
    "image": "pc1",
    "version": "20260131T235959Z",
    "read": 420_000_000,
    "written": 65536,
    "seconds": 9.5,
    "disks": [
        {
            "disk": "disk0",
            "device": "/dev/sda",
            "partitions": [
                {"partition": "1", "content": "ext4", "differs": 65536, "differing_cells": 1}
            ],
        }
    ],
}


def progress(done: int, phase: str = "restore") -> dict[str, Any]:
    return {"type": "progress", "phase": phase, "disk": "disk0", "done": done, "total": 100}


class Machine:
    """A fake connection to a machine whose agent says one batch of records a poll."""

    transport = "fake"
    become = None
    allow_executable = True
    _shell = SimpleNamespace(
        append_command=lambda first, second: f"{first}; {second}", tmpdir="/nowhere"
    )

    def __init__(self, folder: Path) -> None:
        self.log = folder / "job.jsonl"
        self.state = folder / "state"
        self.batches: list[list[dict[str, Any] | str]] = []
        self.resets = 0
        self.dead = False
        self.why = "Connection timed out"
        self.set_state("active")

    def set_state(self, state: str, result: str = "success", status: int = 0) -> None:
        text = f"ActiveState={state}\nResult={result}\nExecMainStatus={status}\n"
        self.state.write_text(text)

    def exec_command(self, command: str, in_data: Any, sudoable: bool) -> tuple[int, str, str]:
        assert not sudoable
        if self.dead:
            raise AnsibleConnectionFailure(self.why)
        if "systemctl" in command and self.batches:
            with self.log.open("a") as log:
                for record in self.batches.pop(0):
                    log.write(record if isinstance(record, str) else json.dumps(record) + "\n")
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def reset(self) -> None:
        self.resets += 1


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def machine(tmp_path: Path, mock_command: Callable[..., Any]) -> Machine:
    made = Machine(tmp_path)
    mock_command("systemctl", f"cat {made.state}")
    mock_command("journalctl", "echo MemoryError")
    return made


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(
        _job_action.Display, "display", lambda self, text, **_more: shown.append(text)
    )
    return shown


@pytest.fixture
def act(
    machine: Machine, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    clock = Clock()
    real = _follow.Follower

    def follower(*args: Any, **more: Any) -> Any:
        return real(*args, clock=clock, sleep=clock.sleep, **more)

    monkeypatch.setattr(_job_action, "Follower", follower)

    def run(
        name: str,
        check_mode: bool = False,
        diff: bool = False,
        patience: int | None = None,
        **started: Any,
    ) -> dict[str, Any]:
        module = import_module(f"ansible_collections.slipway.imaging.plugins.action.{name}")
        arguments = {"image": "pc1", "job": "job", "jobs_dir": str(machine.log.parent)}
        if patience is not None:
            arguments["patience"] = str(patience)
        task = SimpleNamespace(
            async_val=0, args=arguments, action=name, check_mode=check_mode, diff=diff,
            environment=None,
        )  # fmt: skip
        action = module.ActionModule(task, machine, PlayContext(), None, None, None)
        monkeypatch.setattr(action, "_get_remote_user", lambda: "root")
        monkeypatch.setattr(action, "get_become_option", lambda *_args: None)
        answer = started or {"unit": "slipway-job-1", "log": str(machine.log), "changed": True}
        monkeypatch.setattr(action, "_execute_module", lambda **_options: answer)
        return action.run(task_vars={"inventory_hostname": "pc1"})

    return run


def test_a_restore_from_start_to_end(
    machine: Machine, lines: list[str], act: Callable[..., Any]
) -> None:
    machine.batches = [
        [progress(10)],
        [progress(20), {"type": "warning", "message": "slow\x1b[31m"}],
        ["no json\n", "[1]\n", '{"type": 5}\n', progress(40)],
        [progress(60)],
        [RESULT],
    ]
    result = act("disk_restore", diff=True)
    assert (result["changed"], result["version"], result["written"]) == (
        True,
        RESULT["version"],
        65536,
    )
    assert result["diff"][0]["before"].startswith("65.5 kB in 1 cell differ")
    assert result["agent_warnings"] == ["slow [31m"]
    assert "pc1  restore disk0  60 %  60 B of 100 B" in lines
    assert lines[-1].startswith("pc1  restore done  pc1@20260131T235959Z  read 420 MB")
    assert len([text for text in lines if " % " in text]) == 1


def test_a_degraded_version_warns(
    machine: Machine, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        _job_action.Display, "warning", lambda self, text, **_more: said.append(text)
    )
    machine.batches = [[RESULT | {"verb": "backup", "degraded": True, "unreadable": 1536}]]
    result = act("disk_backup")
    assert (result["degraded"], result["unreadable"]) == (True, 1536)
    assert said[0].startswith("pc1: pc1@20260131T235959Z is degraded: 1.54 kB")
    machine.batches = [[RESULT | {"degraded": False, "unreadable": 0}]]
    assert act("disk_restore")["degraded"] is False
    assert len(said) == 1


@pytest.mark.parametrize(
    ("option", "here"),
    [
        ("--allow-degraded", "disk_allow_degraded=true"),
        ("name the disk, or look at probe", '"disk_devices": ['),
        ("--whole", '{"disk_whole": ["disk0:2"]}'),
        ("or with --unclean whole", "-e disk_unclean=whole"),
        ("with --keep-gaps", "-e disk_keep_gaps=true"),
        ("--whole disk1:disk", '{"disk_whole": ["disk1:disk"]}'),
    ],
)
def test_the_agents_options_have_other_names_here(
    machine: Machine, act: Callable[..., Any], option: str, here: str
) -> None:
    error = {"type": "error", "error": "image_degraded", "message": "no", "remedy": option}
    machine.batches = [[error]]
    assert here in act("disk_restore")["msg"]


def test_a_comparison_changes_nothing(machine: Machine, act: Callable[..., Any]) -> None:
    # The agent's exit code says that something differs; its result says so too, and that counts.
    machine.set_state("failed", "exit-code", 1)
    machine.batches = [[RESULT]]
    result = act("disk_compare")
    assert (result["changed"], result["differs"]) == (False, True)


@pytest.mark.parametrize(("phase", "half"), [("restore", True), ("grow", False)])
def test_a_restore_killed_while_it_grows_boots(
    machine: Machine, act: Callable[..., Any], phase: str, half: bool
) -> None:
    machine.set_state("failed", "oom-kill", 9)
    machine.batches = [[progress(1, phase)]]
    message = act("disk_restore")["msg"]
    assert ("half written" in message) is half
    assert ("are restored and boot" in message) is not half


def test_boot_entries_are_returned(machine: Machine, act: Callable[..., Any]) -> None:
    entry = {"label": "debian", "loader": "x", "state": "failed", "problem": "full"}
    warning = {"type": "warning", "message": "the boot entry debian could not be written"}
    machine.batches = [[warning, {**RESULT, "boot_entries": [entry]}]]
    result = act("disk_restore")
    assert result["boot_entries"] == [entry]
    assert result["agent_warnings"] == [warning["message"]]


def test_a_half_written_line_waits_for_its_end(machine: Machine, act: Callable[..., Any]) -> None:
    text = json.dumps(RESULT) + "\n"
    machine.batches = [[text[:40]], [text[40:]]]
    assert act("disk_restore")["changed"]


@pytest.mark.parametrize(
    ("phase", "written"), [("check", False), ("compare", False), ("restore", True)]
)
def test_the_agents_own_failure(
    machine: Machine, act: Callable[..., Any], phase: str, written: bool
) -> None:
    error = {
        "type": "error",
        "error": "target_refused",
        "message": "too small",
        "remedy": "--target",
    }
    machine.batches = [[progress(1, phase), error]]
    result = act("disk_restore")
    assert (result["failed"], result["error"]) == (True, "target_refused")
    assert result["msg"].startswith("too small.")
    assert "disk_targets" in result["msg"]
    assert ("half written" in result["msg"]) == written


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("disk_backup", "No version was published"),
        ("disk_restore", "will not boot until playbooks/restore.yml"),
        ("disk_compare", "Nothing was written"),
    ],
)
def test_a_killed_agent(machine: Machine, act: Callable[..., Any], name: str, says: str) -> None:
    machine.set_state("failed", "oom-kill", 9)
    machine.batches = [[progress(1)]]
    result = act(name)
    assert result["error"] == "agent_killed"
    assert "oom-kill, status 9; it last said: MemoryError" in result["msg"]
    assert says in result["msg"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("disk_backup", "No version was published"),
        ("disk_restore", "will not boot until playbooks/restore.yml"),
    ],
)
def test_a_machine_that_loses_power(
    machine: Machine, lines: list[str], act: Callable[..., Any], name: str, says: str
) -> None:
    machine.dead = True
    result = act(name)
    assert (result["failed"], result["error"]) == (True, "machine_lost")
    assert "unreachable" not in result
    assert says in result["msg"]
    assert "Remedy:" in result["msg"]
    assert machine.resets > 1
    assert any("has not answered for" in text for text in lines)


def test_whoever_has_less_patience_gives_a_silent_machine_up_sooner(
    machine: Machine, act: Callable[..., Any]
) -> None:
    machine.dead = True
    result = act("disk_restore", patience=2)
    assert result["error"] == "machine_lost"
    assert machine.resets < 2 * 120 / _follow.POLL_SECONDS


def test_a_line_that_is_cut_for_as_long_as_the_agent_bears_is_survived(
    machine: Machine, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service takes the session for abandoned after that: both know the same time."""
    assert _follow.LOST_SECONDS == session.AT_WORK_SECONDS > client.WORK_PATIENCE
    machine.batches = [[progress(1)], [RESULT]]
    answer, left = machine.exec_command, [client.WORK_PATIENCE / _follow.POLL_SECONDS]

    def cut(*args: Any, **options: Any) -> tuple[int, str, str]:
        machine.dead = left[0] > 0 and len(machine.batches) == 1
        left[0] -= machine.dead
        return answer(*args, **options)

    monkeypatch.setattr(machine, "exec_command", cut)
    assert act("disk_restore")["changed"]
    assert left[0] <= 0


@pytest.mark.parametrize(
    "why", ["ssh: connect to host 10.0.0.7 port 22: Connection refused",
            "No ED25519 host key is known for pc1. Host key verification failed."]
)  # fmt: skip
def test_a_machine_that_was_started_anew_is_given_up_soon(
    machine: Machine, act: Callable[..., Any], why: str
) -> None:
    machine.dead, machine.why = True, why
    result = act("disk_restore")
    assert result["error"] == "machine_lost"
    assert machine.resets < 2 * _follow.RESTARTED_SECONDS / _follow.POLL_SECONDS


def test_a_machine_lost_while_publishing_may_have_published(
    machine: Machine, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.batches = [[progress(1, "publish")]]
    answer = machine.exec_command

    def once(*args: Any, **options: Any) -> tuple[int, str, str]:
        answered = answer(*args, **options)
        machine.dead = True
        return answered

    monkeypatch.setattr(machine, "exec_command", once)
    assert "images.yml shows it if that succeeded" in act("disk_backup")["msg"]


def test_a_short_loss_of_the_network_is_survived(
    machine: Machine, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.batches = [[RESULT]]
    machine.dead = True
    monkeypatch.setattr(machine, "reset", lambda: setattr(machine, "dead", False))
    assert act("disk_restore")["changed"]


def test_a_silent_agent_is_told_of(
    machine: Machine, lines: list[str], act: Callable[..., Any]
) -> None:
    machine.batches = [[progress(1)], *([[]] * 15), [RESULT]]
    act("disk_restore")
    assert any("no news from the agent" in text for text in lines)


def test_a_failed_start_is_passed_on(act: Callable[..., Any]) -> None:
    assert act("disk_restore", failed=True, msg="no agent") == {"failed": True, "msg": "no agent"}


def test_check_mode_of_a_backup_follows_nothing(act: Callable[..., Any]) -> None:
    assert act("disk_backup", check_mode=True, changed=True, disks=[])["disks"] == []


def test_a_passphrase_that_is_masked_in_the_modules_answer(
    machine: Machine, act: Callable[..., Any]
) -> None:
    """Ansible masks it wherever it occurs, also in `/run/slipway`."""
    machine.batches = [[{**RESULT, "verb": "backup"}]]
    masked = {"unit": "********-job-1", "log": "/run/********/jobs/job.jsonl", "changed": True}
    assert act("disk_backup", **masked)["version"] == RESULT["version"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("disk_backup", "No version was published"), ("disk_restore", "half written")],
)
def test_a_job_that_stands_still_is_given_up(
    machine: Machine, act: Callable[..., Any], name: str, says: str
) -> None:
    """It goes on talking, once a second, and nothing moves."""
    machine.batches = [[progress(7) | {"elapsed": number}] for number in range(4000)]
    result = act(name)
    assert (result["failed"], result["error"]) == (True, "agent_stuck")
    assert "nothing has moved for 1:30:0" in result["msg"]
    assert says in result["msg"] and "disk_patience" in result["msg"]


def test_a_job_that_crawls_is_waited_for(machine: Machine, act: Callable[..., Any]) -> None:
    slowly = [[progress(number)] for number in range(3000) for _again in range(2)]
    machine.batches = [*slowly, [RESULT]]
    assert act("disk_restore")["changed"]


def test_a_flood_of_warnings_ends(
    machine: Machine, lines: list[str], act: Callable[..., Any]
) -> None:
    many = [{"type": "warning", "message": "x" * 5000}] * 400
    machine.batches = [many, many, [RESULT]]
    warnings = act("disk_restore")["agent_warnings"]
    assert len(warnings) == 101 and "not shown" in warnings[-1]
    assert max(map(len, warnings)) <= 500
    assert len([text for text in lines if "warning" in text]) == 101


@pytest.mark.parametrize("row", ["[" * 100_000, '{"type": ' * 100_000, "9" * 100_000, '"' * 9])
def test_a_line_that_is_no_record_is_passed_over(
    machine: Machine, act: Callable[..., Any], row: str
) -> None:
    machine.batches = [[f"{row}\n"], [RESULT]]
    assert act("disk_restore")["changed"]


@pytest.mark.parametrize(
    "lie",
    [{"changed": "yes"}, {"changed": 1}, {"image": "pc2"}, {"version": "newest"}, {"version": None},
     {"version": ["x"]}, {"disks": "sda"}, {"read": True}, {"seconds": "1"}, {"read": 10**40},
     {"cells": []}, {"degraded": "no"}, {"disks": [[[]] * 30_000]}, {"boot_entries": {}}],
)  # fmt: skip
@pytest.mark.parametrize("name", ["disk_backup", "disk_restore", "disk_compare"])
def test_a_result_that_can_not_be(
    machine: Machine, act: Callable[..., Any], name: str, lie: dict[str, Any]
) -> None:
    machine.batches = [[{**RESULT, **lie}]]
    result = act(name, diff=True)
    assert result["failed"] and "can't be" in result["msg"]
    assert not result["changed"]


@pytest.mark.parametrize("disks", [["sda", 5, None], [{"partitions": 5}], [{"partitions": [5]}]])
def test_disks_that_are_none_break_nothing(
    machine: Machine, act: Callable[..., Any], disks: list[Any]
) -> None:
    machine.batches = [[{**RESULT, "disks": disks}]]
    assert act("disk_restore", diff=True)["diff"] == []
