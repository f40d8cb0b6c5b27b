# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the project's playbooks through ansible-runner and keeps what every task returned.

Unlike the rest of this package it needs the project's virtual environment.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

ROOT = Path(__file__).resolve().parents[4]
LAB = ROOT / "inventory" / "lab"
UNHAPPY = ("runner_on_failed", "runner_on_unreachable")


@dataclass
class PlaybookRun:
    """What one run of a playbook did.

    ``results`` holds, for each host, the last result of every action by its short name
    (``disk_backup``); ``failures`` the messages of the tasks that failed there.
    """

    returncode: int = 1
    seconds: float = 0.0
    output: str = ""
    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    results: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> dict[str, int]:
        """Return how many tasks changed something, for every host where one did."""
        return {host: count for host, count in self.stats.get("changed", {}).items() if count}

    def keep(self, event: Mapping[str, Any]) -> None:
        """Take one event of ansible-runner."""
        kind = event.get("event")
        if kind == "playbook_on_stats":
            counts = ("ok", "changed", "failures", "dark", "skipped")
            self.stats = {name: event["event_data"].get(name, {}) for name in counts}
        if kind != "runner_on_ok" and kind not in UNHAPPY:
            return
        data = event["event_data"]
        result = data.get("res") or {}
        action = str(data.get("task_action", "")).rsplit(".", 1)[-1]
        self.results.setdefault(data["host"], {})[action] = result
        if kind in UNHAPPY and not data.get("ignore_errors"):
            self.failures.setdefault(data["host"], []).append(str(result.get("msg", result)))


def run_playbook(
    name: str,
    *,
    limit: str | None = None,
    variables: Mapping[str, object] | None = None,
    options: str = "",
    inventories: Sequence[Path] = (LAB,),
    quiet: bool = False,
    watch: Callable[[Mapping[str, Any]], None] | None = None,
) -> PlaybookRun:
    """Run ``playbooks/NAME.yml`` from the checkout, against the lab or other inventories.

    ``variables`` become ``-e KEY=VALUE``, ``options`` further options such as ``--check --diff``.
    ``watch`` is given every event of ansible-runner as it comes. A failed play raises nothing: look
    at ``returncode`` and ``failures``.
    """
    run = PlaybookRun()

    def take(event: Mapping[str, Any]) -> None:
        run.keep(event)
        if watch is not None:
            watch(event)

    start = time.monotonic()
    words = [shlex.quote(f"-e{key}={value}") for key, value in (variables or {}).items()]
    # Not in the lab's own folder, which lab_down.yml removes while the runner still writes.
    with tempfile.TemporaryDirectory(prefix=f"slipway-{name}-") as folder:
        runner = ansible_runner.run(
            private_data_dir=folder,
            project_dir=str(ROOT),
            playbook=str(ROOT / "playbooks" / f"{name}.yml"),
            inventory=[str(path) for path in inventories],
            limit=limit,
            cmdline=" ".join([options, *words]).strip() or None,
            envvars={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": os.environ["PATH"]},
            event_handler=take,
            quiet=quiet,
        )
        with runner.stdout as stream:
            run.output = stream.read()
    run.returncode = int(runner.rc)
    run.seconds = time.monotonic() - start
    return run
