# SPDX-License-Identifier: GPL-3.0-or-later
"""One job: an ordinary playbook for one machine, run by ansible-runner."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from .output import Output
from .settings import Settings

PLAYBOOKS = {verb: f"{verb}.yml" for verb in ("backup", "restore", "verify", "wake")}
# How often ansible-runner looks whether the job is to be stopped.
_LOOK_SECONDS = 1
# In the environment of everything that a job starts.
_MARK = "SLIPWAY_JOB"
_LEFTOVER_SECONDS = 10
_UNREACHABLE = "runner_on_unreachable"
_UNHAPPY = ("runner_on_failed", _UNREACHABLE)
# What is said of a machine that stopped answering, or never came.
_LOST = ("machine_lost", "no_boot", "no_check_in")
# What is said of a machine that is on, in a system of its own.
_ON = "was_on"
_REMEDY = "Its output says more: playbooks/jobs.yml -e job={}."


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    outcome: str
    message: str = ""
    remedy: str = ""


class _Listener:
    """Takes ansible-runner's events: the output, and why the first task failed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.failure = ""
        self.lost = False
        self.was_on = False

    def __call__(self, event: Mapping[str, Any]) -> bool:
        self._output.write(str(event.get("stdout") or ""))
        data = event.get("event_data") or {}
        if event.get("event") in _UNHAPPY and not data.get("ignore_errors") and not self.failure:
            result = data.get("res")
            words = result if isinstance(result, Mapping) else {}
            silent = f"The step {data.get('task')!r} failed without a word."
            self.failure = str(words.get("msg") or words.get("stderr") or silent)
            self.lost = event["event"] == _UNREACHABLE or words.get("error") in _LOST
            self.was_on = words.get("error") == _ON
        # ansible-runner keeps no file of the event: the output is what is kept.
        return False


def variables(job: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """What the playbook is told beside the inventory, all of it from the job.

    Options have the names of the playbooks' variables; the service knows all that there are.
    """
    wakes = job["arrival"] == "wakes"
    return {
        **job["options"],
        "image": job["image"],
        "imaging_session_job": job["id"],
        "imaging_session_wake": wakes,
        # A PC that waited shows its user the result, then restarts by itself.
        "imaging_session_after": job["after"] if wakes else "stay",
        "imaging_session_admin_socket": str(settings.socket),
        "imaging_session_known_hosts_dir": str(settings.state / "known_hosts"),
    }


def play(
    job: Mapping[str, Any], settings: Settings, output: Output, stopped: Callable[[], bool]
) -> Ending:
    """Run the job's playbook to its end."""
    listener = _Listener(output)
    # The release, not the link to it: a new one may come while this job is at work.
    project = settings.project.resolve()
    with tempfile.TemporaryDirectory(prefix="job-", dir=settings.state / "work") as folder:
        run = ansible_runner.run(
            private_data_dir=folder,
            project_dir=str(project),
            playbook=str(project / "playbooks" / PLAYBOOKS[job["verb"]]),
            inventory=str(settings.inventory),
            limit=job["machine"],
            extravars=variables(job, settings),
            envvars=_environment(project, Path(folder)) | {_MARK: job["id"]},
            event_handler=listener,
            cancel_callback=stopped,
            timeout=settings.seconds,
            settings={"suppress_output_file": True, "pexpect_timeout": _LOOK_SECONDS},
            quiet=True,
        )
    if run.status == "successful":
        return Ending("done")
    end_leftovers(job["id"])
    if stopped():
        return Ending("failed", "The playbook was stopped.", _REMEDY.format(job["id"]))
    outcome = "failed"
    if run.status == "timeout":
        why = f"The playbook was stopped: it took more than {settings.seconds / 3600:.0f} h."
    else:
        why = listener.failure or f"The playbook ended with {run.rc}."
        outcome = "abandoned" if listener.lost else outcome
        # For who plans it is no failure; for who ordered it, it is.
        if listener.was_on and job["origin"] == "schedule":
            outcome = _ON
    return Ending(outcome, why, _REMEDY.format(job["id"]))


def end_leftovers(job_id: str) -> None:
    """Kill what a stopped playbook left: its workers lead sessions of their own.

    ansible-runner kills the playbook's process group alone; SSH, or a module that runs here,
    would go on. One look is not enough: what was seen may just have started something else, and
    a killed process takes a moment to go.
    """
    mark = f"{_MARK}={job_id}".encode()
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while _kill_marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)


def _kill_marked(mark: bytes) -> bool:
    """Kill every process that has the mark in its environment; return whether there was one."""
    found = False
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # A dead process that nobody has waited for yet has no environment any more.
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
                found = True
    return found


def _environment(project: Path, folder: Path) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
