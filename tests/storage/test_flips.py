"""A thousand flipped bytes, one at a time: `verify` finds each, and none reaches a disk."""

import io
import json
import random
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from conftest import Agent
from disk_builder import MIB, filled, sh, sha256
from slipway.cli.main import main

FLIPS = 1000
# Every so many, the flip is tried through a process of its own.
_APART = 250


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


def test_a_thousand_flips(agent: Agent, room: Path) -> None:
    source = small_disk(room)
    agent("backup", source, "--name", "pc").ok()
    files = sorted(path for path in agent.store.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {"", ".json"}
    target = filled(room / "target", source.stat().st_size)
    before = target.stat().st_mtime_ns
    digest = sha256(target)
    chance = random.Random(1000)
    for number in range(FLIPS):
        # Manifest and small chunks as often as large ones, then any byte of the file.
        path = chance.choice(files)
        good = path.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
        path.write_bytes(bad)
        found = run(agent, "verify", "pc")
        assert found["error"] == "image_damaged", (path, number)
        refused = run(agent, "restore", "pc", target)
        assert refused["error"] == "image_damaged", (path, number)
        assert "half restored" not in refused["message"]
        assert target.stat().st_mtime_ns == before
        if number % _APART == 0:
            agent("verify", "pc").failed("image_damaged")
        path.write_bytes(good)
    assert sha256(target) == digest
    agent("verify", "pc").ok()
    agent("restore", "pc", target).ok()
