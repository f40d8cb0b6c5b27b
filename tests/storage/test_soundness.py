# SPDX-License-Identifier: GPL-3.0-or-later
"""A version that is known to be sound is not read through again; anything that changed is."""

import hashlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import Disk, filled, same_ranges

Golden = Callable[[str], Disk]


@pytest.fixture
def source(golden: Golden, agent: Agent) -> Disk:
    disk = golden("small")
    agent("backup", disk.path, "--name", "pc").ok()
    return disk


def checked(agent: Agent, target: Path) -> bool:
    """Whether a plan reads chunks: it then notes anew that they are sound."""
    [note] = (agent.store / "sound").iterdir()
    before = note.stat().st_ino
    agent("restore", "pc", target, "--dry-run").ok()
    [note] = (agent.store / "sound").iterdir()
    return note.stat().st_ino != before


def test_known_versions_are_looked_at_only(source: Disk, agent: Agent, room: Path) -> None:
    target = filled(room / "target", source.path.stat().st_size)
    assert not checked(agent, target)
    chunk = next((agent.store / "chunks").rglob("?" * 64))
    os.utime(chunk)
    assert checked(agent, target)
    assert not checked(agent, target)
    agent("restore", "pc", target).ok()
    same_ranges(source.path, target, source.table_ranges())


def test_a_change_that_hides_its_time_is_seen(source: Disk, agent: Agent, room: Path) -> None:
    chunk = max((agent.store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    before = chunk.stat()
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))
    target = filled(room / "target", source.path.stat().st_size)
    written = target.stat().st_mtime_ns
    agent("restore", "pc", target).failed("image_damaged")
    assert target.stat().st_mtime_ns == written


def test_a_second_version_is_known_by_its_chunks(source: Disk, agent: Agent, room: Path) -> None:
    agent("backup", source.path, "--name", "twin").ok()
    target = filled(room / "target", source.path.stat().st_size)
    [note] = (agent.store / "sound").iterdir()
    before = note.stat().st_ino
    agent("restore", "twin", target, "--dry-run").ok()
    assert note.stat().st_ino == before


def test_only_what_the_run_wrote_itself_is_known(source: Disk, agent: Agent, room: Path) -> None:
    """Chunks that were there before may have rotted since."""
    target = filled(room / "target", source.path.stat().st_size)
    [note] = (agent.store / "sound").iterdir()
    note.unlink()
    agent("backup", source.path, "--name", "twin").ok()
    assert len(note.read_bytes()) == 16
    assert checked(agent, target)
    assert not checked(agent, target)


@pytest.mark.parametrize(
    "text", ["", "slipway sound 1\n", "slipway sound 2\n", "slipway sound 1\n12345", "\xff"]
)
def test_a_broken_note_means_reading(text: str, source: Disk, agent: Agent, room: Path) -> None:
    [note] = (agent.store / "sound").iterdir()
    note.write_text(text, encoding="latin-1")
    target = filled(room / "target", source.path.stat().st_size)
    assert checked(agent, target)


def test_a_week_is_enough(source: Disk, agent: Agent, room: Path) -> None:
    [note] = (agent.store / "sound").iterdir()
    content = bytearray(note.read_bytes())
    target = filled(room / "target", source.path.stat().st_size)
    for at in range(16, len(content), 56):
        struct.pack_into("<d", content, at + 48, time.time() - 6 * 86400)
    note.write_bytes(content)
    assert not checked(agent, target)
    for at in range(16, len(content), 56):
        struct.pack_into("<d", content, at + 48, time.time() - 8 * 86400)
    note.write_bytes(content)
    assert checked(agent, target)


def test_all_is_read_when_told_to(source: Disk, agent: Agent, room: Path) -> None:
    """Rot of the disk itself leaves a file's attributes as they were."""
    target = filled(room / "target", source.path.stat().st_size)
    chunk = max((agent.store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    content = bytearray(chunk.read_bytes())
    content[30] ^= 1
    chunk.write_bytes(content)
    # No test can spoil a file without its times, so the note gets them as they are now.
    found = chunk.stat()
    facts = repr((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)).encode()
    [note] = (agent.store / "sound").iterdir()
    notes = bytearray(note.read_bytes())
    place = notes.index(bytes.fromhex(chunk.name)) + 32
    notes[place : place + 16] = hashlib.blake2b(facts, digest_size=16).digest()
    note.write_bytes(notes)
    assert not checked(agent, target)
    agent("restore", "pc", target, "--read-first").failed("image_damaged")
    assert target.read_bytes().count(0xA5) == target.stat().st_size


@pytest.mark.parametrize("what", ["chunk", "manifest"])
def test_a_pipe_in_the_store_holds_nobody_up(
    what: str, source: Disk, agent: Agent, room: Path
) -> None:
    pattern = "chunks/*/*/*" if what == "chunk" else "images/pc/*.json"
    victim = next(agent.store.glob(pattern))
    victim.unlink()
    os.mkfifo(victim)
    agent("verify", "pc").failed("image_damaged")
    target = filled(room / "target", source.path.stat().st_size)
    agent("restore", "pc", target).failed("image_damaged")
    assert target.read_bytes().count(0xA5) == target.stat().st_size
    [image] = agent("list").ok()["images"]
    assert len(image["versions"]) == 1
