# SPDX-License-Identifier: GPL-3.0-or-later
"""Making what is missing: the server's root and the PCs' disks, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slipway_lab import debian, disk, owner, server
from slipway_lab.config import Config, Machine
from slipway_lab.errors import LabError
from slipway_lab.tools import say

Made = TypeVar("Made")


@dataclass(frozen=True)
class Step:
    """One thing that was made, and how long it took."""

    name: str
    seconds: float


def build(config: Config) -> list[Step]:
    """Make the server's root and every disk that does not exist yet."""
    owner.claim(config.namespace, config.paths.state)
    # Ask both before making either: a refusal must come before the first change.
    need_server = not server.is_made(config)
    need_disks = [m for m in config.machines if not disk.is_made(config, m)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = []
        if need_server:
            jobs.append(pool.submit(_server, config))
        if need_disks:
            jobs.append(pool.submit(_disks, config, need_disks))
        return [step for job in jobs for step in job.result()]


def _server(config: Config) -> list[Step]:
    tar, first = _timed("root of the image server built", lambda: debian.server_tar(config))
    _, second = _timed("image server unpacked", lambda: server.make(config, tar))
    return [first, second]


def _disks(config: Config, machines: list[Machine]) -> list[Step]:
    sizes = {size for m in machines if (size := m.disk.root_size_mib) is not None}
    masters: dict[int, Path] = {}
    steps = []
    if sizes:
        masters, first = _timed(
            "Debian of the PCs built", lambda: debian.pc_file_systems(config, sizes)
        )
        steps.append(first)
    for machine in machines:
        size = machine.disk.root_size_mib
        master = None if size is None else masters[size]

        def write(machine: Machine = machine, master: Path | None = master) -> None:
            try:
                disk.make(config, machine, master)
            except LabError as error:
                raise LabError(f"{machine.name}: {error.message}", error.remedy) from None

        steps.append(_timed(f"disk of {machine.name} written", write)[1])
    return steps


def _timed(name: str, work: Callable[[], Made]) -> tuple[Made, Step]:
    began = time.monotonic()
    result = work()
    step = Step(name, round(time.monotonic() - began, 1))
    say(f"{step.seconds:6.1f} s  {step.name}")
    return result, step
