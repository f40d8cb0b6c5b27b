# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged stores are noticed, damaged targets repaired, and nothing more is written than needed."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from .conftest import Agent
from .disk_builder import MIB, Disk, filled, same_ranges, used_ranges
from .hashes import hash_of

Golden = Callable[[str], Disk]


@pytest.fixture
def source(golden: Golden, agent: Agent) -> Disk:
    disk = golden("small")
    agent("backup", disk.path, "--name", "pc").ok()
    return disk


@pytest.fixture
def restored(source: Disk, agent: Agent, room: Path) -> Path:
    target = filled(room / "target", source.path.stat().st_size)
    agent("restore", "pc", target).ok()
    return target


def test_64_kib_of_damage(source: Disk, restored: Path, agent: Agent, room: Path) -> None:
    part = source.part(1)
    runs = used_ranges(source.extract(part, room / "part"), part.content)
    start = part.offset + next(a for a, b in runs if b - a > 2 * MIB) + MIB
    good = hash_of(restored)
    with restored.open("r+b") as file:
        file.seek(start)
        file.write(bytes(range(256)) * 256)
    damaged = hash_of(restored)

    plan = agent("restore", "pc", restored, "--dry-run").ok()
    assert plan["changed"] is True
    assert plan["written"] == 0
    assert hash_of(restored) == damaged
    [found] = [each for each in plan["disks"][0]["partitions"] if each["differs"]]
    assert (found["partition"], found["content"]) == ("1", "ext4")
    assert 0 < found["differing_cells"] <= 2
    assert agent("compare", "pc", restored).code == 1

    result = agent("restore", "pc", restored).ok()
    assert result["cells"]["written"] == found["differing_cells"]
    # The cells concerned, and the table that was out of force meanwhile.
    assert result["written"] <= found["differs"] + 2 * MIB
    assert hash_of(restored) == good
    assert agent("compare", "pc", restored).code == 0


def test_nothing_is_written_beside_the_damage(
    source: Disk, restored: Path, agent: Agent, room: Path
) -> None:
    """Free space of the target keeps what is in it."""
    part = source.part(2)
    free = part.offset + part.size - 4 * MIB
    with restored.open("r+b") as file:
        file.seek(free)
        file.write(b"kept" * 1000)
        file.seek(source.part(1).offset)
        file.write(b"damage" * 1000)
    agent("restore", "pc", restored).ok()
    with restored.open("rb") as file:
        file.seek(free)
        assert file.read(4000) == b"kept" * 1000


def test_only_the_table_differs(source: Disk, restored: Path, agent: Agent) -> None:
    good = hash_of(restored)
    with restored.open("r+b") as file:
        file.seek(446)
        file.write(bytes(66))
    result = agent("restore", "pc", restored).ok()
    assert result["written"] < 3 * MIB
    differing = [each["partition"] for each in result["disks"][0]["partitions"] if each["differs"]]
    assert differing == ["boot"]
    assert hash_of(restored) == good


def test_flipped_byte_in_a_chunk(source: Disk, agent: Agent, room: Path) -> None:
    chunk = max((agent.store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    flip(chunk, chunk.stat().st_size // 2)
    assert chunk.name in agent("verify", "pc").failed("image_damaged")["message"]
    target = filled(room / "target", source.path.stat().st_size)
    before = hash_of(target)
    for extra in ([], ["--dry-run"]):
        error = agent("restore", "pc", target, *extra).failed("image_damaged")
        assert chunk.name in error["message"]
    assert hash_of(target) == before


def test_missing_chunk(source: Disk, agent: Agent, room: Path) -> None:
    chunk = next((agent.store / "chunks").rglob("?" * 64))
    chunk.unlink()
    assert chunk.name in agent("verify", "pc").failed("image_damaged")["message"]
    target = filled(room / "target", source.path.stat().st_size)
    before = hash_of(target)
    agent("restore", "pc", target).failed("image_damaged")
    assert hash_of(target) == before
    # A backup of the same disk heals the store.
    agent("backup", source.path, "--name", "pc").ok()
    agent("verify", "pc").ok()


@pytest.mark.parametrize(
    "frame",
    [
        zstandard.ZstdCompressor().compress(bytes(64 * MIB)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB)),
        b"",
        b"no frame at all",
    ],
    ids=["bomb", "bomb without a size", "empty", "text"],
)
def test_hostile_chunk(frame: bytes, source: Disk, agent: Agent) -> None:
    chunk = next((agent.store / "chunks").rglob("?" * 64))
    chunk.write_bytes(frame)
    assert chunk.name in agent("verify", "pc").failed("image_damaged")["message"]


def test_every_flip_in_a_manifest_is_found(source: Disk, agent: Agent) -> None:
    [manifest] = (agent.store / "images/pc").iterdir()
    good = manifest.read_bytes()
    chance = random.Random(13)
    for _ in range(12):
        flip(manifest, chance.randrange(len(good)))
        agent("verify", "pc").failed("image_damaged")
        [listed] = agent("list").ok()["images"][0]["versions"]
        assert listed["damage"]
        manifest.write_bytes(good)
    agent("verify", "pc").ok()


def test_manifest_under_another_name(source: Disk, agent: Agent) -> None:
    [manifest] = (agent.store / "images/pc").iterdir()
    other = agent.store / "images/other"
    other.mkdir()
    os.link(manifest, other / manifest.name)
    agent("verify", "other").failed("image_damaged")


def test_interrupted_chunk_has_no_name(source: Disk, agent: Agent) -> None:
    """What a crash leaves under tmp/ is neither used nor in the way."""
    stale = agent.store / "tmp/run-1-dead"
    stale.mkdir()
    (stale / ("0" * 64 + "-1234")).write_bytes(b"half")
    os.utime(stale, (1, 1))
    flipped = source.copy(agent.store.parent / "copy")
    flip(flipped.path, flipped.part(1).offset + 1100)
    agent("backup", flipped.path, "--name", "pc", "--whole", "1").ok()
    assert not stale.exists()
    same_ranges(flipped.path, source.path, [(0, MIB)])


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x20]))
