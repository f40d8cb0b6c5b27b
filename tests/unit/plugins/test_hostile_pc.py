# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC whose root lies: what it answers never becomes more than data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils._internal._datatag import AnsibleTagHelper
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader  # noqa: F401  (completes the plugin loaders)
from ansible.template import trust_as_template
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import NotPlain, plain
from hypothesis import given
from hypothesis import strategies as st

from .pc import SSHD, VERSION, Pc, Site

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\u009b31m"
LIE = f"{ESCAPES}{{{{ lookup('pipe', 'touch {{victim}}/owned') }}}}"
RESULT = {
    "type": "result",
    "verb": "backup",
    "changed": True,
    "image": "pc1",
    "version": VERSION,
    "read": 1,
    "sent": 1,
    "written": 0,
    "seconds": 1.0,
    "disks": [],
}


# --- one answer at a time --------------------------------------------------------------------
class Sulky:
    """A connection that nobody needs: the module has answered."""

    transport = "fake"
    become = None
    _shell = SimpleNamespace(tmpdir=None)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run an action whose module answers this."""

    def run(name: str, answer: object, check_mode: bool = False) -> dict[str, Any]:
        module = import_module(f"ansible_collections.slipway.imaging.plugins.action.{name}")
        task = SimpleNamespace(
            async_val=0,
            args={"image": "pc1"},
            action=name,
            check_mode=check_mode,
            diff=True,
            environment=None,
            delegate_to="img",
        )
        task.args["service"] = {"session": "0123456789abcdef"}
        action = module.ActionModule(task, Sulky(), PlayContext(), None, None, None)
        pc = MachineAction(task, Sulky(), PlayContext(), None, None, None)
        monkeypatch.setattr(action, "machine", lambda *_args: pc, raising=False)
        for each in (action, pc):
            monkeypatch.setattr(each, "_execute_module", lambda **_options: answer)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "pc1"})
        return result

    return run


POISON = {
    "ansible_facts": {"imaging_session_server": "evil", "ansible_connection": "local"},
    "_ansible_facts_cacheable": True,
    "_ansible_no_log": False,
    "add_host": {"host_name": "evil", "groups": ["image_servers"]},
    "add_group": "image_servers",
    "ansible_stats": {"data": {"a": 1}, "aggregate": True},
    "invocation": {"module_args": ESCAPES},
    "warnings": [ESCAPES] * 3,
    "deprecations": [{"msg": ESCAPES, "version": "1"}],
    "exception": ESCAPES,
    "diff": [{"before": ESCAPES, "after": "x"}],
    "results": [{"ansible_facts": {"a": 1}}],
    "stdout": ESCAPES,
    "unreachable": True,
    "skipped": True,
    "rc": 0,
}


@pytest.mark.parametrize("name", ["disk_backup", "disk_restore", "disk_compare", "disk_info"])
@pytest.mark.parametrize(
    "branch",
    [
        {},
        {"failed": True, "msg": ESCAPES, "error": ESCAPES},
        {"failed": True},
        {"disks": []},
        {"failed": True, "msg": ["x"]},
        {"failed": "false", "msg": {"a": 1}},
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_only_named_keys_come_back(
    ask: Callable[..., Any], name: str, branch: Mapping[str, Any], check_mode: bool
) -> None:
    result = ask(name, {**POISON, "changed": "yes", **branch}, check_mode)
    assert not set(result) & set(POISON)
    assert set(result) <= {"failed", "changed", "msg", "error", "disks", "image"}
    assert result.get("changed", False) in (True, False)
    assert "\x1b" not in str(result) and "\u202e" not in str(result)
    looked = name == "disk_info" or (name == "disk_backup" and check_mode)
    assert bool(result.get("failed")) is not (looked and branch == {"disks": []})


@pytest.mark.parametrize(
    "answer", [None, [], "x", 5, {}, {"unit": None, "failed": 1}, {"module_stdout": "x"}]
)
def test_an_answer_that_is_none(ask: Callable[..., Any], answer: object) -> None:
    result = ask("disk_restore", answer)
    assert result["failed"] and result["msg"]


def test_text_of_a_machine_is_no_template() -> None:
    tagged = trust_as_template("{{ 1 }}")
    made = plain({"a": [tagged, {tagged: tagged}]})
    assert made == {"a": ["{{ 1 }}", {"{{ 1 }}": "{{ 1 }}"}]}
    for text in (made["a"][0], *made["a"][1], *made["a"][1].values()):
        assert type(text) is str
        assert not AnsibleTagHelper.tags(text)


@pytest.mark.parametrize(
    "value",
    [10**400, float("nan"), float("inf"), [[]] * 30_000, {"x" * 100: 1}, {1: 2}, object()],
    ids=lambda value: type(value).__name__,
)
def test_what_no_honest_machine_says(value: object) -> None:
    with pytest.raises(NotPlain):
        plain(value)


def test_depth_has_an_end() -> None:
    deep: Any = []
    for _step in range(100):
        deep = [deep]
    with pytest.raises(NotPlain):
        plain(deep)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(trees)
def test_whatever_it_says_is_plain_or_refused(value: object) -> None:
    try:
        said = repr(plain(value))
    except NotPlain:
        return
    assert said.isprintable() or not any(char in said for char in "\x1b\x07\u202e\u009b")


# --- the project's own playbooks -------------------------------------------------------------
@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder on the controller; it has the machine's name."""
    folder = tmp_path / "victim/pc1"
    folder.mkdir(parents=True)
    (folder / "thesis").write_text("important")
    return folder


def real(test: Any) -> Any:
    """Mark what runs a real sshd and Ansible."""
    alone = os.geteuid() != 0 or SSHD is None
    marked = pytest.mark.skipif(alone, reason="sshd lets in its own user alone")(test)
    return pytest.mark.plays(marked)


def poisoned(victim: Path) -> dict[str, Any]:
    names = ("_imaging_session_known_hosts", "_imaging_session_known_hosts_file")
    named = dict.fromkeys(names, str(victim))
    named |= {"imaging_session_known_hosts_dir": str(victim.parent), "ansible_connection": "local"}
    lie = LIE.replace("{victim}", str(victim))
    texts = {"msg": lie, "warnings": [lie], "exception": lie, "deprecations": [{"msg": lie}]}
    # What ends a task before Ansible takes its facts is tried above.
    plain_poison = {key: POISON[key] for key in POISON if key not in ("unreachable", "skipped")}
    return {**plain_poison, **texts, "changed": True, "ansible_facts": named, "version": VERSION}


def unharmed(site: Site, victim: Path, pc: Pc, done: Any) -> None:
    said = done.stdout + done.stderr
    assert victim.exists() and [path.name for path in victim.iterdir()] == ["thesis"]
    assert (victim / "thesis").read_text() == "important"
    assert done.returncode != 0
    assert "changed=0" in said
    assert not any(char in said for char in "\x1b\x07\u202e\u009b")
    assert site.outcome == "failed"
    assert list(site.known_hosts_dir.iterdir()) == [], "the host key is forgotten"
    assert pc.commands[-1][0] == "farewell"


RUNS = [
    ("backup", ""),
    ("backup", "--check"),
    ("restore", "-e image=pc1"),
    ("restore", "-e image=pc1 --check --diff"),
    pytest.param("verify", "", marks=pytest.mark.slow),
]


@real
@pytest.mark.parametrize(("verb", "options"), RUNS)
def test_facts_of_a_pc_are_nobodys_variables(
    site: Site, pc: Pc, victim: Path, verb: str, options: str
) -> None:
    pc.module_says(poisoned(victim))
    # As with another ansible.cfg.
    done = site.play(pc, verb, *options.split(), environment={"ANSIBLE_INJECT_FACT_VARS": "True"})
    unharmed(site, victim, pc, done)


@real
def test_a_failure_and_a_mess_are_told_in_plain_words(site: Site, pc: Pc, victim: Path) -> None:
    pc.module_says({**poisoned(victim), "failed": True})
    unharmed(site, victim, pc, site.play(pc, "backup", "-vvv"))
    site.service.asked.clear()
    pc.answer(module={"out": f"{ESCAPES}\n{{}} {ESCAPES}", "err": ESCAPES, "code": 3})
    unharmed(site, victim, pc, site.play(pc, "restore", "-e", "image=pc1"))


@real
def test_a_version_that_nobody_published_is_none(site: Site, pc: Pc, victim: Path) -> None:
    """Its job says that all is well; the service knows of no version."""
    site.serve(pc, lambda: {"result": RESULT}, version=None)
    pc.module_says({"unit": "slipway-job-1", "changed": True})
    done = site.play(pc, "backup")
    assert "published nothing" in done.stdout
    assert site.outcome == "failed"
    assert done.returncode != 0


@real
def test_an_honest_pc_is_believed(site: Site, pc: Pc) -> None:
    """Else the tests of lies would prove nothing."""
    site.serve(pc, lambda: {"result": RESULT})
    pc.module_says({"unit": "slipway-job-1", "changed": True})
    done = site.play(pc, "backup")
    assert done.returncode == 0, done.stdout
    assert site.outcome == "done"
    assert f"pc1@{VERSION}" in done.stdout
    kinds = [kind for kind, _command in pc.commands]
    assert kinds.count("module") == 1 and set(kinds) == {"hello", "module", "farewell"}


PROGRESS = {
    "type": "progress",
    "phase": "backup",
    "disk": "disk0",
    "partition": "1",
    "done": 5,
    "total": 100,
}
KILLED = {"type": "killed", "result": "signal", "status": "KILL", "said": f"oops {ESCAPES}"}


@real
@pytest.mark.parametrize("verb", ["backup", pytest.param("restore", marks=pytest.mark.slow)])
def test_an_agent_that_is_killed_ends_the_run_with_the_reason(
    site: Site, pc: Pc, verb: str
) -> None:
    """The word of its end comes by the image server: nobody asks the PC."""
    looks = iter([{}, {"progress": PROGRESS}])
    site.serve(pc, lambda: next(looks, {"progress": PROGRESS, "result": KILLED}))
    pc.module_says({"unit": "slipway-job-1", "changed": True})
    done = site.play(pc, verb, "-e", "image=pc1")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and site.outcome == "failed"
    assert "The agent on pc1 was killed (signal, status KILL; it last said: oops" in said
    assert not any(char in said for char in "\x1b\x07\u202e\u009b")
    assert [kind for kind, _command in pc.commands if kind != "hello"] == ["module", "farewell"]


@real
def test_a_pc_whose_sshd_dies_is_followed_to_its_end(site: Site, pc: Pc) -> None:
    looks = [0]

    def heard() -> dict[str, Any]:
        if pc.job:
            looks[0] += 1
        if looks[0] == 2:
            pc.stop()
        if looks[0] > 5:
            return {"result": RESULT}
        return {"progress": PROGRESS | {"done": looks[0]}}

    site.serve(pc, heard)
    pc.module_says({"unit": "slipway-job-1", "changed": True})
    done = site.play(pc, "backup")
    assert done.returncode == 0, done.stdout
    assert site.outcome == "done" and f"pc1@{VERSION}" in done.stdout
    assert list(site.known_hosts_dir.iterdir()) == []


@real
def test_a_start_that_is_not_answered_is_looked_for(site: Site, pc: Pc) -> None:
    """Its sshd dies with the start; that the job goes on is known at the server."""

    def heard() -> dict[str, Any]:
        if pc.job and pc.sshd.poll() is None:
            pc.stop()
        return {"result": RESULT} if pc.job else {}

    site.serve(pc, heard)
    pc.answer(module={"code": 255, "err": "Connection reset by peer"})
    done = site.play(pc, "backup")
    assert done.returncode == 0, done.stdout
    assert f"pc1@{VERSION}" in done.stdout
