# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the lab down, whatever state it is in: its traces are found without its description."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from slipway_lab import owner, traces
from slipway_lab.config import run_dir
from slipway_lab.errors import LabError
from slipway_lab.tools import remove_tree

# Logs stay: they are what one reads after a lab that failed.
KEPT = {"consoles", "logs", "power.log"}
PATIENCE = 20.0
NSPAWN_GRACE = 3.0


def down(namespace: str, state: Path, cache: Path) -> list[str]:
    """Remove everything of the lab but its caches; return what there was to remove."""
    removed = owner.refuse_others(namespace, state)
    removed += _kill_worker(state)
    # A killed process gives its lock back when the kernel is done with it, not at once.
    with owner.busy(state, PATIENCE):
        removed += _remove_all(namespace, state, cache)
    (state / "lock").unlink(missing_ok=True)
    left = traces.leftovers(namespace, state)
    if left:
        raise LabError(f"The lab left something behind: {'; '.join(left)}.", "Please report this.")
    return removed


def _remove_all(namespace: str, state: Path, cache: Path) -> list[str]:
    removed = _kill_all(namespace, state)
    removed += traces.remove(namespace, state)
    return removed + _remove_files(namespace, state, cache)


def _kill_worker(state: Path) -> list[str]:
    """End a build or a start that is still going on, before it makes more."""
    pid = owner.worker(state)
    if pid is None or pid == os.getpid():
        return []
    _kill(pid)
    return [f"process {pid} that was building or starting the lab"]


def _kill_all(namespace: str, state: Path) -> list[str]:
    """Kill until nobody is left, however fast the power switch starts PCs again."""
    victims: dict[int, str] = {}
    deadline = time.monotonic() + PATIENCE
    grace = time.monotonic() + NSPAWN_GRACE
    quiet = 0
    # A process shows its environment a moment after it was started, so look twice.
    while quiet < 2:
        alive = traces.processes(namespace, state)
        quiet = 0 if alive else quiet + 1
        # nspawn cleans up after itself when its payload dies, so it is killed last of all.
        spared = {pid for pid in alive if traces.comm(pid) == "systemd-nspawn"}
        if time.monotonic() > grace:
            spared = set()
        for pid in alive:
            victims.setdefault(pid, traces.comm(pid))
            if pid not in spared:
                _kill(pid)
        if alive and time.monotonic() > deadline:
            names = ", ".join(f"{pid} ({traces.comm(pid)})" for pid in alive)
            raise LabError(f"These processes of the lab cannot be killed: {names}.")
        time.sleep(0.1)
    return [f"process {pid} ({name})" for pid, name in sorted(victims.items())]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_files(namespace: str, state: Path, cache: Path) -> list[str]:
    removed = []
    paths = [p for p in sorted(state.glob("*")) if p.name not in KEPT | {"lock"}]
    for path in [*paths, *(cache / "lab").glob("*.part"), run_dir(namespace)]:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()
        else:
            continue
        removed.append(str(path))
    return removed
