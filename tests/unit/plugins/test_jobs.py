# SPDX-License-Identifier: GPL-3.0-or-later
"""Following jobs: the action plugins, with an image server that says what a test wants."""

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader  # noqa: F401  (completes the plugin loaders)
from ansible_collections.slipway.imaging.plugins.plugin_utils import (
    _follow,
    _job_action,
    _machine_action,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction
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


KILLED = {"type": "killed", "result": "oom-kill", "status": "KILL", "said": "MemoryError\x1b[2J"}


def progress(done: int, phase: str = "restore") -> dict[str, Any]:
    return {"type": "progress", "phase": phase, "disk": "disk0", "done": done, "total": 100}


JOB = "job"
LOST = "The control service does not answer"


class Server:
    """What the image server hears of a machine: one batch of records a look."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.batches: list[list[dict[str, Any]]] = []
        self.session: dict[str, Any] = {"state": "checked_in", "outcome": None}
        self.warnings: list[str] = []
        # Whether it can be asked, and whether it hears the machine.
        self.down = self.silent = False
        self.looks = self.resets = 0
        self.job = JOB

    def says(self, record: dict[str, Any]) -> None:
        """Take a record as the service does from the agent."""
        if record["type"] == "warning":
            self.warnings.append(record["message"])
            return
        kind = "progress" if record["type"] == "progress" else "result"
        signed = {"job": self.job, "warnings": list(self.warnings)}
        self.session[kind] = record | signed

    def ask(self, module_name: str, module_args: Any, **_more: Any) -> dict[str, Any]:
        """Be the module session_info."""
        assert module_name == "slipway.imaging.session_info"
        assert module_args["until"] == "finished" and module_args["id"] == "0123456789abcdef"
        self.looks += 1
        if self.down:
            return {"failed": True, "msg": LOST, "error": "service_unreachable"}
        for record in self.batches.pop(0) if self.batches else ():
            self.says(record)
        if not self.silent:
            self.session["last_heard"] = str(self._clock())
        return {"changed": False, "session": dict(self.session)}


class Connection:
    """To the image server."""

    transport = "fake"
    become = None
    _shell = SimpleNamespace(tmpdir="/nowhere")

    def __init__(self, server: Server) -> None:
        self.server = server

    def reset(self) -> None:
        self.server.resets += 1


class Pc(MachineAction):
    """The machine: it starts what it is told to, or says something else."""

    def __init__(self, answer: dict[str, Any], failure: Exception | None) -> None:
        self.answer, self.failure = answer, failure

    def _execute_module(self, **_options: Any) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return self.answer

    def _bound(self, seconds: float) -> None:
        assert seconds == _machine_action.MODULE_SECONDS


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(
        _job_action.Display, "display", lambda self, text, **_more: shown.append(text)
    )
    return shown


@pytest.fixture
def act(
    server: Server, lines: list[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    real = _follow.Follower

    def follower(*args: Any, **more: Any) -> Any:
        return real(*args, clock=clock, sleep=clock.sleep, **more)

    monkeypatch.setattr(_job_action, "Follower", follower)

    def run(
        name: str,
        check_mode: bool = False,
        diff: bool = False,
        patience: int | None = None,
        failure: Exception | None = None,
        delegate_to: str | None = "img",
        **started: Any,
    ) -> dict[str, Any]:
        module = import_module(f"ansible_collections.slipway.imaging.plugins.action.{name}")
        arguments = {"image": "pc1", "job": JOB, "service": {"session": "0123456789abcdef"}}
        if patience is not None:
            arguments["patience"] = str(patience)
        task = SimpleNamespace(
            async_val=0,
            args=arguments,
            action=name,
            check_mode=check_mode,
            diff=diff,
            environment=None,
            delegate_to=delegate_to,
        )
        action = module.ActionModule(task, Connection(server), PlayContext(), None, None, None)
        pc = Pc(started or {"unit": "slipway-job-job", "changed": True}, failure)
        monkeypatch.setattr(action, "machine", lambda *_args: pc)
        monkeypatch.setattr(action, "_execute_module", server.ask)
        return action.run(task_vars={"inventory_hostname": "pc1"})

    return run


def test_a_restore_from_start_to_end(
    server: Server, lines: list[str], act: Callable[..., Any]
) -> None:
    server.batches = [
        [progress(10)],
        [progress(20), {"type": "warning", "message": "slow\x1b[31m"}],
        [progress(40)],
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
    assert len([text for text in lines if " % " in text]) == 4


def test_a_degraded_version_warns(
    server: Server, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        _job_action.Display, "warning", lambda self, text, **_more: said.append(text)
    )
    server.batches = [[RESULT | {"verb": "backup", "degraded": True, "unreadable": 1536}]]
    result = act("disk_backup")
    assert (result["degraded"], result["unreadable"]) == (True, 1536)
    assert said[0].startswith("pc1: pc1@20260131T235959Z is degraded: 1.54 kB")
    server.batches = [[RESULT | {"degraded": False, "unreadable": 0}]]
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
    server: Server, act: Callable[..., Any], option: str, here: str
) -> None:
    error = {"type": "error", "error": "image_degraded", "message": "no", "remedy": option}
    server.batches = [[error]]
    assert here in act("disk_restore")["msg"]


def test_a_comparison_changes_nothing(server: Server, act: Callable[..., Any]) -> None:
    server.batches = [[RESULT]]
    result = act("disk_compare")
    assert (result["changed"], result["differs"]) == (False, True)


@pytest.mark.parametrize(("phase", "half"), [("restore", True), ("grow", False)])
def test_a_restore_killed_while_it_grows_boots(
    server: Server, act: Callable[..., Any], phase: str, half: bool
) -> None:
    server.batches = [[progress(1, phase)], [KILLED]]
    message = act("disk_restore")["msg"]
    assert ("half written" in message) is half
    assert ("are restored and boot" in message) is not half


def test_boot_entries_are_returned(server: Server, act: Callable[..., Any]) -> None:
    entry = {"label": "debian", "loader": "x", "state": "failed", "problem": "full"}
    warning = {"type": "warning", "message": "the boot entry debian could not be written"}
    server.batches = [[warning, {**RESULT, "boot_entries": [entry]}]]
    result = act("disk_restore")
    assert result["boot_entries"] == [entry]
    assert result["agent_warnings"] == [warning["message"]]


@pytest.mark.parametrize(
    ("phase", "written"), [("check", False), ("compare", False), ("restore", True)]
)
def test_the_agents_own_failure(
    server: Server, act: Callable[..., Any], phase: str, written: bool
) -> None:
    error = {
        "type": "error",
        "error": "target_refused",
        "message": "too small",
        "remedy": "--target",
    }
    server.batches = [[progress(1, phase), error]]
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
def test_a_killed_agent(server: Server, act: Callable[..., Any], name: str, says: str) -> None:
    server.batches = [[progress(1)], [KILLED]]
    result = act(name)
    assert result["error"] == "agent_killed"
    assert "oom-kill, status KILL; it last said: MemoryError" in result["msg"]
    assert says in result["msg"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("disk_backup", "No version was published"),
        ("disk_restore", "will not boot until playbooks/restore.yml"),
    ],
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_machine_that_loses_power(
    server: Server, lines: list[str], act: Callable[..., Any], name: str, says: str, ended: bool
) -> None:
    """Whether the service has noticed it, or is about to."""
    server.batches = [[progress(1)]]
    server.silent = True
    if ended:
        server.session |= {"state": "ended", "outcome": "abandoned"}
    result = act(name)
    assert (result["failed"], result["error"]) == (True, "machine_lost")
    assert "unreachable" not in result
    assert says in result["msg"]
    assert "Remedy:" in result["msg"]
    assert ended or any("has not heard it for" in text for text in lines)


def test_whoever_has_less_patience_gives_a_silent_machine_up_sooner(
    server: Server, act: Callable[..., Any]
) -> None:
    server.silent = True
    result = act("disk_restore", patience=2)
    assert result["error"] == "machine_lost"
    assert server.looks < 2 * 120 / _follow.PAUSE_SECONDS


def test_a_line_that_is_cut_for_as_long_as_the_agent_bears_is_survived(
    server: Server, act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service takes the session for abandoned after that: both know the same time."""
    assert _follow.LOST_SECONDS == session.AT_WORK_SECONDS > client.WORK_PATIENCE
    cut = int(client.WORK_PATIENCE / _follow.PAUSE_SECONDS)
    server.batches = [[progress(1)], *([[]] * cut), [RESULT]]
    ask = server.ask

    def silently(*args: Any, **options: Any) -> dict[str, Any]:
        server.silent = 1 < server.looks < cut
        return ask(*args, **options)

    monkeypatch.setattr(server, "ask", silently)
    assert act("disk_restore")["changed"]


def test_a_server_that_is_away_for_as_long_as_the_agent_bears_is_waited_for(
    server: Server, lines: list[str], act: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.batches = [[progress(1)], [RESULT]]
    ask, away = server.ask, [client.WORK_PATIENCE / _follow.PAUSE_SECONDS]

    def answer(*args: Any, **options: Any) -> dict[str, Any]:
        server.down = server.looks > 0 and away[0] > 0
        away[0] -= server.down
        return ask(*args, **options)

    monkeypatch.setattr(server, "ask", answer)
    assert act("disk_restore")["changed"]
    assert server.resets > 1
    assert any("image server has not answered for" in text for text in lines)


def test_a_server_that_stays_away_is_not_waited_for_without_end(
    server: Server, clock: Clock, act: Callable[..., Any]
) -> None:
    server.down = True
    begun = clock()
    result = act("disk_restore")
    assert (result["failed"], result["error"]) == (True, "service_unreachable")
    assert clock() - begun < _follow.LOST_SECONDS + 60


@pytest.mark.parametrize("outcome", ["cancelled", "failed", "done"])
def test_a_session_that_somebody_ends_is_waited_for_no_longer(
    server: Server, act: Callable[..., Any], outcome: str
) -> None:
    server.batches = [[progress(1)]]
    server.session |= {"state": "ended", "outcome": outcome}
    result = act("disk_restore")
    assert (result["error"], server.looks) == ("session_ended", 1)
    assert f"({outcome})" in result["msg"] and "half written" in result["msg"]


def test_the_last_word_counts_though_the_session_has_ended(
    server: Server, act: Callable[..., Any]
) -> None:
    server.batches = [[RESULT]]
    server.session |= {"state": "ended", "outcome": "done"}
    assert act("disk_restore")["changed"]


def test_an_earlier_job_of_the_session_says_nothing_of_this_one(
    server: Server, act: Callable[..., Any]
) -> None:
    server.job = "earlier"
    server.says(progress(99))
    server.says(RESULT | {"changed": False})
    server.job = JOB
    server.batches = [[], [progress(1)], [RESULT]]
    assert act("disk_restore")["changed"]
    assert server.looks == 3


def test_a_start_whose_answer_is_lost_is_followed_if_it_was_one(
    server: Server, act: Callable[..., Any]
) -> None:
    gone = AnsibleConnectionFailure("Connection reset by peer")
    server.batches = [[], [progress(1)], [RESULT]]
    assert act("disk_restore", failure=gone)["changed"]


@pytest.mark.parametrize("down", [False, True])
def test_a_machine_that_is_gone_before_the_start(
    server: Server, clock: Clock, act: Callable[..., Any], down: bool
) -> None:
    server.down, begun = down, clock()
    result = act("disk_restore", failure=AnsibleConnectionFailure("Connection timed out"))
    assert result["error"] == "machine_lost" and "before the agent was started" in result["msg"]
    assert clock() - begun < 60


def test_it_is_delegated_to_the_image_server(server: Server, act: Callable[..., Any]) -> None:
    result = act("disk_restore", delegate_to=None)
    assert result["error"] == "no_server" and server.looks == 0


def test_a_machine_lost_while_publishing_may_have_published(
    server: Server, act: Callable[..., Any]
) -> None:
    server.batches = [[progress(1, "publish")]]
    server.silent = True
    assert "images.yml shows it if that succeeded" in act("disk_backup")["msg"]


def test_a_silent_agent_is_told_of(
    server: Server, lines: list[str], act: Callable[..., Any]
) -> None:
    server.batches = [[progress(1)], *([[]] * 15), [RESULT]]
    act("disk_restore")
    assert any("no news from the agent" in text for text in lines)


def test_a_failed_start_is_passed_on(act: Callable[..., Any]) -> None:
    assert act("disk_restore", failed=True, msg="no agent") == {"failed": True, "msg": "no agent"}


def test_check_mode_of_a_backup_follows_nothing(act: Callable[..., Any]) -> None:
    assert act("disk_backup", check_mode=True, changed=True, disks=[])["disks"] == []


def test_a_passphrase_that_is_masked_in_the_modules_answer(
    server: Server, act: Callable[..., Any]
) -> None:
    """Ansible masks it wherever it occurs, also in `/run/slipway`."""
    server.batches = [[{**RESULT, "verb": "backup"}]]
    masked = {"unit": "********-job-job", "log": "/run/********/jobs/job.jsonl", "changed": True}
    assert act("disk_backup", **masked)["version"] == RESULT["version"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("disk_backup", "No version was published"), ("disk_restore", "half written")],
)
def test_a_job_that_stands_still_is_given_up(
    server: Server, act: Callable[..., Any], name: str, says: str
) -> None:
    """It goes on talking, once a second, and nothing moves."""
    server.batches = [[progress(7) | {"elapsed": number}] for number in range(4000)]
    result = act(name)
    assert (result["failed"], result["error"]) == (True, "agent_stuck")
    assert "nothing has moved for 1:30:0" in result["msg"]
    assert says in result["msg"] and "disk_patience" in result["msg"]


def test_a_job_that_crawls_is_waited_for(server: Server, act: Callable[..., Any]) -> None:
    slowly = [[progress(number)] for number in range(3000) for _again in range(2)]
    server.batches = [*slowly, [RESULT]]
    assert act("disk_restore")["changed"]


def test_a_flood_of_warnings_ends(
    server: Server, lines: list[str], act: Callable[..., Any]
) -> None:
    many = [{"type": "warning", "message": "x" * 5000}] * 400
    server.batches = [many, many, [RESULT]]
    warnings = act("disk_restore")["agent_warnings"]
    assert len(warnings) == 101 and "not shown" in warnings[-1]
    assert max(map(len, warnings)) <= 500
    assert len([text for text in lines if "warning" in text]) == 101


@pytest.mark.parametrize("word", [None, 5, [], {}, {"type": 5}, {"type": "progress"}, "result"])
def test_a_last_word_that_is_none_is_passed_over(
    server: Server, act: Callable[..., Any], word: Any
) -> None:
    server.session["result"] = word | {"job": JOB} if isinstance(word, dict) else word
    server.batches = [[], [RESULT]]
    assert act("disk_restore")["changed"]


@pytest.mark.parametrize(
    "lie",
    [
        {"changed": "yes"},
        {"changed": 1},
        {"image": "pc2"},
        {"version": "newest"},
        {"version": None},
        {"version": ["x"]},
        {"disks": "sda"},
        {"read": True},
        {"seconds": "1"},
        {"read": 10**40},
        {"cells": []},
        {"degraded": "no"},
        {"disks": [[[]] * 30_000]},
        {"boot_entries": {}},
    ],
)
@pytest.mark.parametrize("name", ["disk_backup", "disk_restore", "disk_compare"])
def test_a_result_that_can_not_be(
    server: Server, act: Callable[..., Any], name: str, lie: dict[str, Any]
) -> None:
    server.batches = [[{**RESULT, **lie}]]
    result = act(name, diff=True)
    assert result["failed"] and "can't be" in result["msg"]
    assert not result["changed"]


@pytest.mark.parametrize("disks", [["sda", 5, None], [{"partitions": 5}], [{"partitions": [5]}]])
def test_disks_that_are_none_break_nothing(
    server: Server, act: Callable[..., Any], disks: list[Any]
) -> None:
    server.batches = [[{**RESULT, "disks": disks}]]
    assert act("disk_restore", diff=True)["diff"] == []
