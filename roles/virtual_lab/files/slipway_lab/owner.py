# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose lab is it? Two checkouts must not share one namespace."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slipway_lab import traces
from slipway_lab.config import run_dir
from slipway_lab.errors import LabError
from slipway_lab.tools import alive, remove_tree


def record(namespace: str) -> Path:
    """Return the file that names the owner of a namespace."""
    return run_dir(namespace) / "owner.json"


def refuse_others(namespace: str, state: Path) -> list[str]:
    """Raise when the lab of another checkout is running; clear away what a dead one left here.

    Its files stay in its checkout. Returns what was removed.
    """
    try:
        owner = Path(json.loads(record(namespace).read_text())["state"])
    except (OSError, ValueError, KeyError):
        return []
    if owner == state:
        return []
    if worker(owner) or traces.processes(namespace, owner):
        raise LabError(
            f"The lab {namespace} belongs to the checkout {owner.parent}.",
            "Take it down there first (`make lab-down`), or give this one another "
            "virtual_lab_namespace.",
        )
    removed = traces.remove(namespace, owner)
    remove_tree(run_dir(namespace))
    return removed


def claim(namespace: str, state: Path) -> None:
    """Write down that the namespace is ours."""
    refuse_others(namespace, state)
    paper = record(namespace)
    paper.parent.mkdir(parents=True, exist_ok=True)
    words = {"state": str(state), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    half = paper.with_suffix(".part")
    half.write_text(json.dumps(words) + "\n")
    half.replace(paper)


@contextmanager
def busy(state: Path, patience: float = 0) -> Iterator[None]:
    """Hold the lab for one piece of work; a second one at the same time is refused."""
    state.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with (state / "lock").open("a+") as lock:
        while not _locked(lock):
            if time.monotonic() >= deadline:
                raise LabError(
                    f"Another process is working on the lab in {state}.",
                    "Wait for it, or end it with `make lab-down`.",
                )
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def worker(state: Path) -> int | None:
    """Return the PID of the process that is building or starting the lab right now."""
    return alive(state / "lock", "slipway_lab", str(state))
