# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at random moments of a backup and of a restore."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent, loops
from .disk_builder import FILL, Disk, filled, same_ranges, sh, used_ranges
from .hashes import hash_of

Golden = Callable[[str], Disk]


def kill_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether the process was still at work when it was killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("often", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_backup_killed(often: bool, golden: Golden, agent: Agent, room: Path) -> None:
    """No version appears, older ones stay sound, and what was sent counts."""
    source = golden("noisy")
    first = agent("backup", golden("small").path, "--name", "pc").ok()["version"]
    before, known = hash_of(source.path), named(agent)

    desks = [0]

    def on_desk(count: int) -> Callable[[], bool]:
        return lambda: desks[-1] >= count

    # By the clock it is killed as it starts, by the desk where it is at work.
    by_clock = [0.05, 0.15, 0.25] if often else [0.15]
    counts = (1, 2, 5, 12, 25, 31) if often else (1, 5, 31)
    moments: list[Callable[[], bool] | float] = [
        *by_clock,
        *map(on_desk, counts),
        lambda: named(agent) > known,
    ]
    killed = 0
    for moment in moments:
        process = agent.start("backup", source.path, "--name", "pc", "--threads", 1)
        desks.append(0)
        if callable(moment):
            while process.poll() is None and not moment():
                desks.append(len(list((agent.store / "tmp").glob(f"run-{process.pid}-*/*"))))
                time.sleep(0.002)
        if kill_after(process, 0 if callable(moment) else moment):
            killed += 1
            assert versions(agent) == [first]
        agent("verify", "pc").ok()
        assert loops(room) == set()
    assert killed >= len(moments) // 2
    # Names are given in batches: not one by one, and not all at the end.
    assert 20 < max(desks) < 40
    # The last kill came when chunks had got their names, and before all of them were there.
    assert versions(agent) == [first]
    kept = named(agent)
    assert kept > known
    rest = agent("backup", source.path, "--name", "pc").ok()
    assert 0 < rest["cells"]["sent"] == named(agent) - kept
    agent("verify", "pc").ok()
    agent("verify", f"pc@{first}").ok()
    assert hash_of(source.path) == before
    assert agent("compare", "pc", source.path).code == 0


def named(agent: Agent) -> int:
    return len(list((agent.store / "chunks").rglob("?" * 64)))


def versions(agent: Agent) -> list[str]:
    return [each["version"] for each in agent("list").ok()["images"][0]["versions"]]


@pytest.mark.parametrize("shape", ["noisy", pytest.param("noisy_mbr", marks=pytest.mark.slow)])
def test_restore_killed(shape: str, golden: Golden, agent: Agent, room: Path) -> None:
    """The disk has its old table or none, never a table over half the data."""
    source = golden(shape)
    agent("backup", source.path, "--name", "pc").ok()
    size = source.path.stat().st_size
    target = bootable_junk(room / "target", size)
    old = marks(target, size)
    assert sum(old) >= 1

    halves = 0
    for delay in (0, 0.01, 0.03, 0.06, 0.1):
        bootable_junk(target, size)
        process = agent.start("restore", "pc", target, "--threads", 1)
        wait_for_first_write(target, size, process)
        if not kill_after(process, delay):
            continue
        if marks(target, size) == (False, False, False):
            halves += 1
            assert "label" not in sh("sfdisk", "--dump", target, ok=(0, 1))
    assert halves >= 2

    result = agent("restore", "pc", target).ok()
    assert result["changed"] is True
    same_ranges(source.path, target, source.table_ranges())
    for part in source.parts:
        original = source.extract(part, room / "original")
        same_ranges(source.path, target, used_ranges(original, part.content), part.offset)
    assert agent("compare", "pc", target).code == 0


def bootable_junk(path: Path, size: int) -> Path:
    """A disk with another system's table."""
    filled(path, size)
    sh("sfdisk", "-q", "--wipe", "never", path, input="label: gpt\nstart=8192, size=20M\n")
    with path.open("r+b") as file:
        file.write(bytes([FILL]) * 440)
    return path


def marks(path: Path, size: int) -> tuple[bool, bool, bool]:
    """MBR signature, primary GPT, backup GPT."""
    with path.open("rb") as file:
        head = file.read(1024)
        file.seek(size - 512)
        tail = file.read(8)
    return head[510:512] == b"\x55\xaa", head[512:520] == b"EFI PART", tail == b"EFI PART"


def wait_for_first_write(path: Path, size: int, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while marks(path, size)[0] and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)


def test_restore_that_loses_its_store(golden: Golden, agent: Agent, room: Path) -> None:
    """A failure after the first write says that the disk can't boot and what to do."""
    source = golden("noisy")
    agent("backup", source.path, "--name", "pc").ok()
    target = bootable_junk(room / "target", source.path.stat().st_size)
    process = agent.start("restore", "pc", target, "--threads", 1)
    wait_for_first_write(target, source.path.stat().st_size, process)
    (agent.store / "chunks").rename(agent.store / "away")
    stdout, _ = process.communicate()
    assert process.returncode == 7
    assert "half restored and can't boot" in stdout.splitlines()[-1]
    assert marks(target, source.path.stat().st_size) == (False, False, False)
    (agent.store / "away").rename(agent.store / "chunks")
    agent("restore", "pc", target).ok()
    assert agent("compare", "pc", target).code == 0


def test_stopped_politely(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("noisy")
    process = agent.start("backup", source.path, "--name", "pc", "--threads", 1)
    while not list((agent.store / "tmp").glob("run-*/*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate()
    assert process.returncode == 130
    assert '"error":"interrupted"' in stdout.splitlines()[-1]
    assert agent("list").ok()["images"] == []
    assert list((agent.store / "tmp").iterdir()) == []
    assert list((agent.store / "chunks").rglob("?" * 64))
