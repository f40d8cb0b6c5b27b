# SPDX-License-Identifier: GPL-3.0-or-later
"""One job: the real ansible-runner with a small playbook in the place of the project's."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from slipway_runner.output import Output, tidy
from slipway_runner.play import Ending, end_leftovers, play, variables
from slipway_runner.settings import Settings

pytestmark = pytest.mark.plays

# Its own: what a stopped job started is found by the id, and another run of the tests may be here.
JOB = {
    "id": secrets.token_hex(8),
    "machine": "pc1",
    "verb": "backup",
    "image": "pc1",
    "arrival": "waits",
    "origin": "choice",
    "options": {},
    "after": "as_found",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    (project / "playbooks").mkdir(parents=True)
    (project / "ansible.cfg").write_text("[defaults]\n")
    pc1 = f"{{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}"
    (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {{pc1: {pc1}, pc2: }}}}\n")
    (tmp_path / "state/work").mkdir(parents=True)
    return Settings(
        socket=tmp_path / "socket",
        project=project,
        inventory=tmp_path / "hosts.yml",
        state=tmp_path / "state",
    )


def run(settings: Settings, tasks: str, **changes: Any) -> tuple[Ending, str]:
    """Run a playbook made of these tasks; return the ending and the output."""
    text = f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"
    (settings.project / "playbooks/backup.yml").write_text(text)
    path = settings.state / "output.txt"
    with Output(path, changes.pop("limit", 100_000)) as output:
        ending = play(
            changes.pop("job", JOB), settings, output, changes.pop("stopped", lambda: False)
        )
    assert list((settings.state / "work").iterdir()) == [], "nothing is left of the run"
    return ending, path.read_text()


def test_it_runs_for_the_one_machine_and_keeps_what_ansible_says(settings: Settings) -> None:
    tasks = '    - ansible.builtin.debug: {msg: "{{ inventory_hostname }} {{ image }}"}\n'
    ending, output = run(settings, tasks)
    assert ending == Ending("done")
    assert "pc1 pc1" in output
    assert "pc2" not in output
    assert "PLAY RECAP" in output
    assert "\x1b" not in output


def test_the_first_failure_is_the_reason(settings: Settings) -> None:
    tasks = (
        "    - ansible.builtin.fail: {msg: not this}\n      ignore_errors: true\n"
        "    - block: [{ansible.builtin.fail: {msg: 'the disk is gone'}}]\n"
        "      always: [{ansible.builtin.fail: {msg: nor this}}]\n"
    )
    ending, output = run(settings, tasks)
    assert (ending.outcome, ending.message) == ("failed", "the disk is gone")
    assert JOB["id"] in ending.remedy
    assert "the disk is gone" in output


def test_a_machine_that_was_switched_off_is_no_failure_of_the_work(settings: Settings) -> None:
    library = settings.project / "playbooks/library"
    library.mkdir()
    said = '{"failed": true, "error": "machine_lost", "msg": "pc1 stopped answering"}'
    (library / "work.py").write_text(f"#!/usr/bin/python\nprint({said!r})\n")
    ending, _ = run(settings, "    - work: {}\n")
    assert (ending.outcome, ending.message) == ("abandoned", "pc1 stopped answering")
    away = "    - {ansible.builtin.ping: {}, vars: {ansible_connection: ssh, ansible_port: 1}}\n"
    assert run(settings, away)[0].outcome == "abandoned"


@pytest.mark.parametrize(("origin", "outcome"), [("schedule", "was_on"), ("order", "failed")])
def test_a_machine_that_is_on_is_left_alone(settings: Settings, origin: str, outcome: str) -> None:
    library = settings.project / "playbooks/library"
    library.mkdir()
    said = '{"failed": true, "error": "was_on", "msg": "pc1 is on"}'
    (library / "work.py").write_text(f"#!/usr/bin/python\nprint({said!r})\n")
    ending, _ = run(settings, "    - work:\n", job=JOB | {"origin": origin})
    assert (ending.outcome, ending.message) == (outcome, "pc1 is on")


def test_a_playbook_that_can_not_even_begin(settings: Settings) -> None:
    ending, output = run(settings, "    - no_such_module_at_all: {}\n")
    assert ending.outcome == "failed"
    assert "no_such_module_at_all" in output


def test_it_is_stopped(settings: Settings) -> None:
    stopped = threading.Event()
    threading.Timer(3, stopped.set).start()
    began = time.monotonic()
    nap = f"sleep 6{os.getpid()}.5"
    tasks = f"    - ansible.builtin.command: {nap}\n"
    ending, _ = run(settings, tasks, stopped=stopped.is_set)
    assert (ending.outcome, ending.message) == ("failed", "The playbook was stopped.")
    assert time.monotonic() - began < 40
    left = subprocess.run(["pgrep", "-f", nap], capture_output=True, text=True)
    assert left.stdout == "", "what it started lives on"


def test_what_starts_while_others_are_killed_is_killed_too() -> None:
    """Parents that go on making children: one look at all processes never sees the last ones."""
    job = f"busy{os.getpid()}"
    nap = f"sleep 6{os.getpid()}.25"
    breed = f"while :; do {nap} & sleep 0.001; done"
    parents = [
        subprocess.Popen(["sh", "-c", breed], env={**os.environ, "SLIPWAY_JOB": job})
        for _ in range(8)
    ]
    time.sleep(0.5)
    end_leftovers(job)
    left = subprocess.run(["pgrep", "-f", nap], capture_output=True, text=True)
    for parent in parents:
        parent.kill()
        parent.wait()
    subprocess.run(["pkill", "-KILL", "-f", nap], check=False)
    assert left.stdout == ""


def test_the_output_does_not_fill_the_disk(settings: Settings) -> None:
    tasks = "    - ansible.builtin.debug: {msg: \"{{ 'x' * 5000 }}\"}\n"
    ending, output = run(settings, tasks, limit=1000)
    assert ending.outcome == "done"
    assert len(output) < 1200
    assert "not kept" in output


def test_what_came_from_a_machine_is_no_template_in_the_output(tmp_path: Path) -> None:
    with Output(tmp_path / "o.txt", 1000) as output:
        output.write("\x1b[0;32mok\x1b[0m {{ 7*7 }}\r\nbell\x07 \x1b]0;title\x07")
    text = (tmp_path / "o.txt").read_text()
    assert text == "ok {{ 7*7 }}\nbell ]0;title\n"


def test_old_outputs_and_too_many_go(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.txt"
        path.write_text("x")
        moment = 1_000_000 + number * 86400
        os.utime(path, (moment, moment))
    tidy(tmp_path, days=4, files=3, now=lambda: 1_000_000 + 6 * 86400)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.txt", "4.txt", "5.txt"]
    tidy(tmp_path, days=2, files=9, now=lambda: 1_000_000 + 6 * 86400)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.txt", "5.txt"]


def test_the_playbook_neither_wakes_nor_restarts_the_pc(settings: Settings) -> None:
    told = variables(JOB, settings)
    assert told["imaging_session_wake"] is False
    assert told["imaging_session_after"] == "stay"
    assert told["imaging_session_job"] == JOB["id"]
