# SPDX-License-Identifier: GPL-3.0-or-later
"""RAID arrays made, filled, stopped and started again by the kernel itself."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .. import readers
from ..conftest import Agent
from ..disk_builder import MIB, attached, contents, filled, mounted, sh, sha256
from ..raid import METADATA, examined

NODE = Path("/dev/md7")


def disks(room: Path, count: int, mebibytes: int = 64) -> list[Path]:
    paths = [room / f"disk{number}" for number in range(count)]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(mebibytes * MIB)
    return paths


@contextmanager
def devices(paths: Sequence[Path]) -> Iterator[list[Path]]:
    with ExitStack() as stack:
        yield [stack.enter_context(attached(path)) for path in paths]


@contextmanager
def started(paths: Sequence[Path], *create: object) -> Iterator[Path]:
    """The array of these disks, made or assembled, in sync; stopped at the end."""
    sh("modprobe", "-a", "md-mod", "raid1", "raid456")
    with devices(paths) as nodes:
        if create:
            sh("mdadm", "--create", NODE, "--run", f"--raid-devices={len(nodes)}", *create, *nodes)
        else:
            sh("mdadm", "--assemble", NODE, *nodes)
            # Nothing has to be made equal: it is clean as it comes back.
            state = Path("/proc/mdstat").read_text()
            assert f"[{'U' * len(nodes)}]" in state, state
            assert "resync" not in state and "recovery" not in state, state
        try:
            sh("mdadm", "--wait", NODE, ok=(0, 1))
            yield NODE
        finally:
            sh("udevadm", "settle")
            sh("mdadm", "--stop", NODE)


def files(room: Path, paths: Sequence[Path]) -> dict[str, str]:
    with started(paths) as node:
        sh("e2fsck", "-fn", node)
        link = room / "array"
        link.unlink(missing_ok=True)
        link.symlink_to(node)
        with mounted(link, "-o", "ro") as point:
            return contents(point)


def wiped_and_restored(agent: Agent, paths: Sequence[Path]) -> None:
    before = [examined(path) for path in paths]
    for path in paths:
        filled(path, path.stat().st_size)
    places = [f"disk{number}={path}" for number, path in enumerate(paths)]
    agent("restore", "pc", *(word for place in places for word in ("--target", place))).ok()
    assert [examined(path) for path in paths] == before


@pytest.mark.parametrize("metadata", METADATA)
def test_mirror(metadata: str, agent: Agent, room: Path, tree: Path) -> None:
    paths = disks(room, 2)
    options = ("--level=1", f"--metadata={metadata}", "--bitmap=internal")
    with started(paths, *options) as node:
        sh("mkfs.ext4", "-q", "-F", "-d", tree, node)
        used = sum(end - start for start, end in readers.ext(node))
        size = int(sh("blockdev", "--getsize64", node))
    before = files(room, paths)
    parts = [
        part
        for disk in agent("backup", *paths, "--name", "pc").ok()["disks"]
        for part in disk["partitions"]
    ]
    for part in parts:
        assert (part["content"], part["method"]) == ("linux_raid_member", "used")
        assert part["bytes_used"] <= used + 64 * MIB - size < 48 * MIB
    wiped_and_restored(agent, paths)
    assert files(room, paths) == before and len(before) > 40


@pytest.mark.slow
def test_level_5_whole(agent: Agent, room: Path, tree: Path) -> None:
    paths = disks(room, 3, 40)
    with started(paths, "--level=5", "--metadata=1.2") as node:
        sh("mkfs.ext4", "-q", "-F", "-d", tree, node)
    before = files(room, paths)
    error = agent("backup", *paths[:2], "--name", "pc").failed("source_refused")
    assert "device 2" in error["message"]
    sums = [sha256(path) for path in paths]
    agent("backup", *paths, "--name", "pc").ok()
    wiped_and_restored(agent, paths)
    assert [sha256(path) for path in paths] == sums
    assert files(room, paths) == before


@pytest.mark.slow
def test_mirror_that_lost_a_disk(agent: Agent, room: Path, tree: Path) -> None:
    """Both are there, and one is stale."""
    paths = disks(room, 2)
    with started(paths, "--level=1", "--metadata=1.2") as node:
        sh("mkfs.ext4", "-q", "-F", "-d", tree, node)
    with devices(paths[:1]) as [one]:
        sh("mdadm", "--assemble", "--run", NODE, one)
        sh("tune2fs", "-L", "alone", NODE)
        sh("udevadm", "settle")
        sh("mdadm", "--stop", NODE)
    error = agent("backup", *paths, "--name", "pc").failed("source_refused")
    assert "disk0:disk: its array is degraded" in error["message"]
    assert "get in sync" in error["remedy"]
    agent("backup", *paths, "--name", "pc", "--unclean", "whole").ok()


@pytest.mark.slow
def test_container_of_ddf(agent: Agent, room: Path) -> None:
    paths = disks(room, 2, 160)
    sh("modprobe", "-a", "md-mod")
    with devices(paths) as nodes:
        sh("mdadm", "--create", NODE, "--run", "--metadata=ddf", "--raid-devices=2", *nodes)
        sh("udevadm", "settle")
        sh("mdadm", "--stop", NODE)
    assert "ddf_raid_member" in sh("blkid", "-p", paths[0])
    error = agent("backup", paths[0], "--name", "pc").failed("source_refused")
    assert "1 of 2" in error["message"]
    sums = [sha256(path) for path in paths]
    agent("backup", *paths, "--name", "pc").ok()
    for path in paths:
        filled(path, path.stat().st_size)
    agent("restore", "pc", "--target", f"disk0={paths[0]}", "--target", f"disk1={paths[1]}").ok()
    assert [sha256(path) for path in paths] == sums
