# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup with the bounds that a systemd unit names, of version 2 or 1, without systemd."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NAME = "slipway-siege"
_UNITS = {"K": 10, "M": 20, "G": 30, "": 0}


@contextmanager
def confined(unit: str) -> Iterator[Callable[[int], None]]:
    """Yields what puts a process under MemoryMax and TasksMax of a unit's text."""
    memory, unit_letter = re.findall(r"^MemoryMax=(\d+)([KMG]?)$", unit, re.MULTILINE)[0]
    memory_bytes = int(memory) << _UNITS[unit_letter]
    tasks = re.findall(r"^TasksMax=(\d+)$", unit, re.MULTILINE)[0]
    if (_ROOT / "cgroup.controllers").exists():
        for controller in ("+memory", "+pids"):
            (_ROOT / "cgroup.subtree_control").write_text(controller)
        bounds = {_ROOT / _NAME: {"memory.max": str(memory_bytes), "pids.max": tasks}}
    else:
        bounds = {
            _ROOT / "memory" / _NAME: {"memory.limit_in_bytes": str(memory_bytes)},
            _ROOT / "pids" / _NAME: {"pids.max": tasks},
        }
    for folder, values in bounds.items():
        folder.mkdir(exist_ok=True)
        for name, value in values.items():
            (folder / name).write_text(value)

    def confine(pid: int) -> None:
        for folder in bounds:
            (folder / "cgroup.procs").write_text(str(pid))

    try:
        yield confine
    finally:
        for folder in bounds:
            for _ in range(50):
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)
