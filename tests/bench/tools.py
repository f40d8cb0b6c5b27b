# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that are timed: Slipway's command line, and the peers' own pipelines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..storage.disk_builder import sh

AGENT = Path(__file__).resolve().parents[2] / "client_image/agent"
LEVEL = 3


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    cpu: float
    """Seconds of processor time of the run's own processes."""
    bytes: int = 0
    """By how much a save made the store grow; how much is stored of what a load wrote."""


class Tool(Protocol):
    """Saves a device under a label and writes it back."""

    name: str

    def save(self, device: Path, label: str) -> Cost:
        """Make an image of the device."""

    def load(self, label: str, device: Path) -> Cost:
        """Write the image to the device."""

    def forget(self, label: str) -> None:
        """Free the room of an image that no later case needs."""


@dataclass(frozen=True)
class Peer:
    """A pipeline in shell, run in a folder of its own: $DEV is the device, $FILE the image."""

    name: str
    save_line: str
    load_line: str
    folder: Path

    def save(self, device: Path, label: str) -> Cost:
        return self._run(self.save_line, device, label)

    def load(self, label: str, device: Path) -> Cost:
        return self._run(self.load_line, device, label)

    def forget(self, label: str) -> None:
        self._file(label).unlink()

    def _file(self, label: str) -> Path:
        return self.folder / f"{self.name}-{label}"

    def _run(self, line: str, device: Path, label: str) -> Cost:
        file = self._file(label)
        cost = timed(line, self.folder, {"DEV": str(device), "FILE": str(file)})
        return replace(cost, bytes=file.stat().st_size)


def timed(line: str, folder: Path, variables: Mapping[str, str]) -> Cost:
    """What a line of shell takes; it has to succeed."""
    fifo = folder / "fifo"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    environment = os.environ | {"FIFO": str(fifo), "LOG": str(folder / "log"), **variables}
    _, cost = measured(["bash", "-c", f"set -o pipefail\n{line}"], environment)
    return cost


def measured(argv: list[str], environment: Mapping[str, str]) -> tuple[str, Cost]:
    """Run a program to its success; what it wrote to standard output, and what it took."""
    before, began = _cpu(), time.monotonic()
    run = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace")
    cost = Cost(time.monotonic() - began, _cpu() - before)
    said = f"{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    assert run.returncode == 0, f"{argv}\nended with {run.returncode}:\n{said}"
    return run.stdout, cost


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_CLONEZILLA_SAVE = (
    "partclone.ext4 -z 10485760 -L $LOG -c -s $DEV --output - | zstdmt -c -3 > $FILE",
    "cat $FILE | zstdmt -dc | partclone.ext4 -z 10485760 -L $LOG -s - -r -o $DEV",
)
# The last line of Clonezilla's pipeline through the network.
CLONEZILLA_SEND = (
    "partclone.ext4 -z 10485760 -L $LOG -c -s $DEV --output - | zstdmt -c -3 "
    "| curl -sS -f --cacert $CA -T - $URL"
)
_FOG_SAVE = (
    "zstdmt --rsyncable --ultra -{level} < $FIFO > $FILE & "
    "partclone.extfs -n x -cs $DEV -O $FIFO -f 1 -a0; code=$?; wait; exit $code"
)
_FOG_LOAD = (
    "cat $FILE > $FIFO & zstdmt -dc < $FIFO | partclone.restore -n x --ignore_crc -O $DEV -f 1"
)
_PIPE = (
    "partclone.ext4 -q -f 0 -a0 -c -s $DEV -o - | zstd -q -T0 -3 > $FILE",
    "zstd -q -dc $FILE | partclone.restore -q -f 0 -C -s - -o $DEV",
)


def peers(folder: Path) -> list[Peer]:
    """The other tools' pipelines, as their own programs build them."""
    return [
        Peer("clonezilla", *_CLONEZILLA_SAVE, folder),
        Peer("fog3", _FOG_SAVE.format(level=3), _FOG_LOAD, folder),
        Peer("fog6", _FOG_SAVE.format(level=6), _FOG_LOAD, folder),
        Peer("pipe", *_PIPE, folder),
    ]


class Slipway:
    """The agent's command line with one store."""

    def __init__(
        self, store: list[str], folder: Path, name: str = "slipway", agent: Path = AGENT
    ) -> None:
        """`store` are the arguments that name it, `folder` is where its chunks lie."""
        self.name = name
        self.store = store
        self.folder = folder
        self.agent = agent
        self._versions: dict[str, tuple[str, int]] = {}

    def save(self, device: Path, label: str) -> Cost:
        before = _weight(self.folder)
        result, cost = self._run("backup", device, "--name", "pc", "--level", LEVEL)
        self._versions[label] = (f"pc@{result['version']}", result["stored"])
        return replace(cost, bytes=_weight(self.folder) - before)

    def load(self, label: str, device: Path) -> Cost:
        image, stored = self._versions[label]
        _, cost = self._run("restore", image, device)
        return replace(cost, bytes=stored)

    def forget(self, label: str) -> None:
        """Versions share their chunks: all go with the store at the end of the round."""

    def _run(self, verb: str, *arguments: object) -> tuple[dict[str, Any], Cost]:
        words = [str(each) for each in arguments]
        argv = [sys.executable, "-m", "slipway", verb, *words, *self.store, "--json"]
        output, cost = measured(argv, os.environ | {"PYTHONPATH": str(self.agent)})
        return json.loads(output.splitlines()[-1]), cost


def _weight(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def flush(device: Path) -> None:
    """Write a device's cached pages to its file and forget them."""
    sh("blockdev", "--flushbufs", device)
