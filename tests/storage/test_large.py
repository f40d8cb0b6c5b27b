# SPDX-License-Identifier: GPL-3.0-or-later
"""A large disk with 1 GB of files: small manifest, little memory, nothing sent twice."""

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import AGENT, Agent
from .disk_builder import MIB, mounted, sh

MEMORY = 300 * MIB
FILES = 1 << 30


@dataclass
class Measured:
    """How a run of the agent ended, and how much memory it took at most."""

    result: dict[str, Any]
    memory: int


# What a process has at its start counts as its own, and ours is large by now: a small one asks.
ASK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
"""


def measured(agent: Agent, verb: str, *arguments: object) -> Measured:
    """Run a verb to its success."""
    run = subprocess.run(
        [sys.executable, "-c", ASK, *agent.command(verb, *arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(AGENT)},
    )
    *_, result, memory = run.stdout.splitlines()
    last = json.loads(result)
    assert last["type"] == "result", last
    return Measured(last, int(memory))


@pytest.fixture
def large(room: Path, size: int) -> Path:
    """1 GB in files of 64 MiB: each 4 KiB of noise again and again, no two the same."""
    path = room / "large"
    with path.open("wb") as file:
        file.truncate(size)
    sh("mkfs.ext4", "-q", "-F", path)
    chance = random.Random(2)
    with mounted(path) as point:
        for number in range(FILES // (64 * MIB)):
            (point / f"file{number}").write_bytes(chance.randbytes(4096) * (64 * MIB // 4096))
    return path


@pytest.mark.parametrize(
    "size", [1 << 38, pytest.param(2 << 40, marks=pytest.mark.slow)], ids=["256 GB", "2 TB"]
)
def test_a_large_disk(size: int, large: Path, agent: Agent) -> None:
    probe = agent("probe", large).ok()
    [partition] = probe["disks"][0]["partitions"]
    assert (partition["content"], partition["method"]) == ("ext4", "used")

    first = measured(agent, "backup", large, "--name", "pc")
    second = measured(agent, "backup", large, "--name", "pc")
    assert first.result["cells"]["total"] == second.result["cells"]["total"]
    assert (second.result["cells"]["sent"], second.result["sent"]) == (0, 0)
    # All the inode tables of an ext4 of this size, which it has never used.
    assert first.result["read"] > size * 15 >> 10
    assert first.result["cells"]["sent"] < 1000
    for manifest in (agent.store / "images/pc").iterdir():
        assert manifest.stat().st_size < 2_000_000

    plan = measured(agent, "restore", "pc", large, "--dry-run")
    assert plan.result["changed"] is False
    assert max(each.memory for each in (first, second, plan)) < MEMORY
