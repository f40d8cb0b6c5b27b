# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is refused is refused before the first write."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MIB, Disk, attached, filled, sh
from .hashes import hash_of

Golden = Callable[[str], Disk]


@pytest.fixture
def saved(golden: Golden, agent: Agent) -> Disk:
    source = golden("small")
    agent("backup", source.path, "--name", "pc").ok()
    return source


def test_smaller_disk(saved: Disk, agent: Agent, room: Path) -> None:
    # FAT of 30 MiB stays as large as it is, and the files in front of it need some, too.
    target = filled(room / "target", 33 * MIB)
    before = hash_of(target)
    error = agent("restore", "pc", "--target", f"disk0={target}").failed("target_refused")
    assert "too small" in error["message"]
    assert hash_of(target) == before


def test_other_sector_size(saved: Disk, agent: Agent, room: Path) -> None:
    target = filled(room / "target", saved.path.stat().st_size)
    before = hash_of(target)
    with attached(target, 4096) as device:
        error = agent("restore", "pc", device).failed("target_refused")
        assert "sectors of 4096 bytes" in error["message"]
    assert hash_of(target) == before


def test_other_size_needs_an_explicit_target(saved: Disk, agent: Agent, room: Path) -> None:
    target = filled(room / "target", saved.path.stat().st_size + MIB)
    error = agent("restore", "pc", target).failed("target_refused")
    assert f"disks seen: {target}" in error["remedy"]


def test_two_disks_that_fit(saved: Disk, agent: Agent, room: Path) -> None:
    targets = [filled(room / name, saved.path.stat().st_size) for name in ("a", "b")]
    error = agent("restore", "pc", *targets).failed("target_refused")
    assert "several disks" in error["message"]
    assert "--target" in error["remedy"]


def test_no_disk_named_and_no_serial_number(saved: Disk, agent: Agent) -> None:
    error = agent("restore", "pc").failed("target_refused")
    assert "no serial number" in error["message"]


def test_target_that_the_image_does_not_have(saved: Disk, agent: Agent, room: Path) -> None:
    target = filled(room / "target", saved.path.stat().st_size)
    agent("restore", "pc", "--target", f"disk7={target}").failed("usage")


def test_unknown_image_and_version(saved: Disk, agent: Agent) -> None:
    agent("restore", "other", saved.path).failed("not_found")
    error = agent("restore", "pc@20000101T000000Z", saved.path).failed("not_found")
    assert "it has 2" in error["remedy"]


@pytest.mark.parametrize("name", ["../x", "-oProxyCommand=x", "{{ 1 }}", "all", "a/b", "", "PC"])
def test_name_attacks(name: str, saved: Disk, agent: Agent) -> None:
    before = sorted(agent.store.parent.rglob("*"))
    assert agent("backup", saved.path, f"--name={name}").failed("usage")["message"]
    if not name.startswith("-"):
        agent("restore", name, saved.path).failed("usage")
        agent("verify", f"pc@{name}").failed("usage")
    assert sorted(agent.store.parent.rglob("*")) == before


def test_a_partition_is_no_disk(saved: Disk, agent: Agent, room: Path) -> None:
    agent("backup", room, "--name", "pc").failed("usage")
    agent("backup", room / "nothing", "--name", "pc").failed("usage")
    agent("backup", "/dev/null", "--name", "pc").failed("usage")


def test_write_protected_target(saved: Disk, agent: Agent, room: Path) -> None:
    target = filled(room / "target", saved.path.stat().st_size)
    device = sh("losetup", "--find", "--show", "--read-only", target).strip()
    try:
        error = agent("restore", "pc", device).failed("target_refused")
    finally:
        sh("losetup", "-d", device)
    assert "write-protected" in error["message"]


def test_overlapping_partitions(golden: Golden, agent: Agent, room: Path) -> None:
    disk = golden("mbr").copy(room / "disk")
    with disk.path.open("r+b") as file:
        # The first partition grows into the extended one.
        file.seek(446 + 12)
        file.write((100 * MIB // 512).to_bytes(4, "little"))
    error = agent("backup", disk.path, "--name", "pc").failed("source_refused")
    assert "overlap" in error["message"]
    agent("backup", disk.path, "--name", "pc", "--whole", "disk0:disk").ok()


def test_full_store(golden: Golden, agent: Agent, room: Path) -> None:
    """A backup that does not fit changes nothing that is there, and says so."""
    source, agent.store = golden("small"), room / "tiny"
    agent.store.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=9m", "none", agent.store)
    try:
        small = room / "disk"
        with small.open("wb") as file:
            file.truncate(4 * MIB)
        agent("backup", small, "--name", "pc").ok()
        (agent.store / "ballast").write_bytes(bytes(7 * MIB))
        agent("backup", source.path, "--name", "pc").failed("store_full")
        assert len(agent("list").ok()["images"][0]["versions"]) == 1
        agent("verify", "pc").ok()
        assert list((agent.store / "tmp").iterdir()) == []
        (agent.store / "ballast").unlink()
        agent("backup", source.path, "--name", "pc").ok()
        agent("verify", "pc").ok()
    finally:
        sh("umount", agent.store)


def test_store_that_is_none(agent: Agent, golden: Golden, room: Path) -> None:
    (room / "store").mkdir()
    agent("list").failed("usage")
    shutil.rmtree(room / "store")
    agent("restore", "pc", golden("small").path).failed("usage")
    assert not (room / "store").exists()
