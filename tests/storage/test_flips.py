# SPDX-License-Identifier: GPL-3.0-or-later
"""Many flipped bytes, one at a time: `verify` finds each, and none reaches a disk."""

import hashlib
import io
import json
import random
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from slipway.cli.main import main

from .conftest import Agent
from .disk_builder import MIB, filled, sh
from .hashes import hash_of

# Every so many, the flip is tried through a process of its own.
APART = 100


def run(agent: Agent, verb: str, *arguments: object) -> dict[str, Any]:
    """The agent's command line inside this process: a thousand starts of Python take minutes."""
    output = io.StringIO()
    with redirect_stdout(output):
        main(agent.command(verb, *arguments)[3:])
    answer: dict[str, Any] = json.loads(output.getvalue().splitlines()[-1])
    return answer


def small_disk(room: Path) -> Path:
    """A table and an ext4 with text and noise: some six cells."""
    tree, path = room / "tree", room / "disk"
    tree.mkdir()
    (tree / "text").write_text("some text of the disk\n" * 20_000)
    (tree / "noise").write_bytes(random.Random(8).randbytes(300_000))
    with path.open("wb") as file:
        file.truncate(12 * MIB)
    sh("sfdisk", "-q", path, input="label: gpt\nstart=2048, size=16384\n")
    sh("mkfs.ext4", "-q", "-F", "-d", tree, "-E", f"offset={MIB}", path, "8M")
    return path


def is_still_proven(path: Path) -> bool:
    """Whether zstd itself unpacks the chunk to the content that its name promises.

    A few bits of a frame have two readings, or none, that come to the same bytes.
    """
    if path.suffix:
        return False
    run = subprocess.run(["zstd", "-dcq", path], capture_output=True)
    return run.returncode == 0 and hashlib.sha256(run.stdout).hexdigest() == path.name


@pytest.mark.parametrize("flips", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_each_flip_is_found(flips: int, agent: Agent, room: Path) -> None:
    source = small_disk(room)
    agent("backup", source, "--name", "pc").ok()
    kinds = ("chunks/*/*/*", "images/*/*")
    files = sorted(path for kind in kinds for path in agent.store.glob(kind))
    target = filled(room / "target", source.stat().st_size)
    before, digest = target.stat().st_mtime_ns, hash_of(target)
    chance = random.Random(flips)
    found = harmless = 0
    while found < flips:
        # Any file, then any byte of it: the manifest and small chunks as often as large ones.
        path = chance.choice(files)
        good = path.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
        path.write_bytes(bad)
        if is_still_proven(path):
            harmless += 1
        else:
            for words in (("verify", "pc"), ("restore", "pc", target)):
                answer = run(agent, *words)
                assert answer.get("error") == "image_damaged", (words, path, bytes(bad[:64]))
                assert "half restored" not in answer["message"]
            assert target.stat().st_mtime_ns == before
            found += 1
            if found % APART == 0:
                agent("verify", "pc").failed("image_damaged")
        path.write_bytes(good)
    assert harmless * 100 <= flips
    assert hash_of(target) == digest
    agent("verify", "pc").ok()
    agent("restore", "pc", target).ok()
