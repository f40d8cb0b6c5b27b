"""A version that is known to be sound is not read through again; anything that changed is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Agent
from disk_builder import Disk, filled, same_ranges

Golden = Callable[[str], Disk]


@pytest.fixture
def source(golden: Golden, agent: Agent) -> Disk:
    disk = golden("small")
    agent("backup", disk.path, "--name", "pc").ok()
    return disk


def checked(agent: Agent, target: Path) -> bool:
    """Whether a plan reads the chunks: it then notes anew that they are sound."""
    [note] = (agent.store / "sound").iterdir()
    before = note.stat().st_mtime_ns
    agent("restore", "pc", target, "--dry-run").ok()
    return note.stat().st_mtime_ns != before


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


def test_only_what_the_run_wrote_itself_is_known(source: Disk, agent: Agent) -> None:
    """Chunks that were there before may have rotted since."""
    agent("backup", source.path, "--name", "pc").ok()
    versions = {path.stem for path in (agent.store / "images/pc").glob("*.json")}
    known = {path.name for path in (agent.store / "sound").iterdir()}
    assert len(versions) == 2
    assert known == {f"pc@{min(versions)}"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "x", "seal": 1}', "\xff"])
def test_a_broken_note_means_reading(text: str, source: Disk, agent: Agent, room: Path) -> None:
    [note] = (agent.store / "sound").iterdir()
    note.write_text(text, encoding="latin-1")
    target = filled(room / "target", source.path.stat().st_size)
    assert checked(agent, target)


def test_a_week_is_enough(source: Disk, agent: Agent, room: Path) -> None:
    [note] = (agent.store / "sound").iterdir()
    text = note.read_text()
    began = text.split('"at": ')[1].split(",")[0]
    note.write_text(text.replace(began, str(time.time() - 8 * 86400)))
    assert checked(agent, filled(room / "target", source.path.stat().st_size))
