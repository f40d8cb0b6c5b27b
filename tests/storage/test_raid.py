# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of RAID arrays that are refused by name, and arrays that are saved whole."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Agent
from .disk_builder import MIB, Disk, filled, sh
from .hashes import hash_of
from .raid import (
    SIZE,
    Array,
    blank,
    inside,
    mark_firmware,
    member,
    mirror,
    placed,
    previews,
    restored,
)
from .test_failing_programs import ENDINGS

Golden = Callable[[str], Disk]


def refused(agent: Agent, room: Path, *paths: Path) -> dict[str, Any]:
    """A backup says what the probe said before, and writes nothing."""
    error = agent("backup", *paths, "--name", "pc").failed("source_refused")
    reasons = [each["reason"] for each in previews(agent, *paths) if each["method"] == "refused"]
    assert reasons
    for reason in reasons:
        assert reason in error["message"]
    for number in range(len(paths)):
        assert f"--whole disk{number}" in error["remedy"]
    assert agent("list").ok()["images"] == []
    return error


TROUBLES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # What both say, what only the second one says, and a word of the refusal.
    "degraded": ({"state": "A."}, {}, "degraded"),
    "one knows that it is degraded": ({}, {"state": ".A", "events": 30}, "degraded"),
    "stale": ({}, {"events": 12}, "12 events"),
    "running": ({"clean": False}, {}, "not stopped cleanly"),
    "one is not clean": ({}, {"clean": False}, "not stopped cleanly"),
    "spare": ({}, {"spare": True}, "spare"),
    "rebuilding": ({}, {"features": 2}, "rebuilt"),
    "reshape": ({"features": 4}, {}, "changed"),
    "bad blocks": ({}, {"bad_blocks": True}, "bad blocks"),
    "other size": ({}, {"size": 39 * MIB}, "40894464 bytes"),
}
_NEW = {"rebuilding", "reshape", "bad blocks"}


@pytest.mark.parametrize(
    ("trouble", "metadata"),
    [
        (each, kind)
        for each in TROUBLES
        for kind in ("0.90", "1.2")
        if kind != "0.90" or each not in _NEW
    ],
)
def test_mirror_that_is_not_in_sync(
    trouble: str, metadata: str, agent: Agent, room: Path, tree: Path
) -> None:
    both, second, word = TROUBLES[trouble]
    content = "noise" if trouble == "other size" else "ext4"
    sources = mirror(room, inside(room, tree, content), Array(metadata, **both), **second)
    error = refused(agent, room, *sources)
    assert word in error["message"] and "disk0:disk" in error["message"]
    assert "get in sync" in error["remedy"] and "--unclean whole" in error["remedy"]
    if trouble not in ("stale", "degraded"):
        return
    unclean = ("--unclean", "whole")
    assert {each["method"] for each in previews(agent, *sources, *unclean)} == {"whole"}
    agent("backup", *sources, "--name", "pc", *unclean).ok()
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        assert hash_of(source) == hash_of(target)


@pytest.mark.parametrize("metadata", ["0.90", "1.2"])
def test_one_disk_of_a_mirror(metadata: str, agent: Agent, room: Path, tree: Path) -> None:
    """What the array is known to lack is not missed when the user takes it as it is."""
    data = inside(room, tree)
    alone = member(room / "alone", Array(metadata), 0, data)
    error = refused(agent, room, alone)
    for word in ("RAID array", "device 1"):
        assert word in error["message"]
    assert "wipefs" in error["remedy"]
    agent("backup", alone, "--name", "pc", "--unclean", "whole").failed("source_refused")
    agent("backup", alone, "--name", "pc", "--whole", "disk0:disk").ok()
    [target] = restored(agent, room, [alone])
    assert hash_of(target) == hash_of(alone)
    last = member(room / "last", Array(metadata, state="A."), 0, data)
    agent("backup", last, "--name", "last", "--unclean", "whole").ok()


def test_file_system_in_a_mirror_that_is_not_clean(agent: Agent, room: Path, tree: Path) -> None:
    data = inside(room, tree)
    sh("debugfs", "-w", "-R", "set_super_value state 2", data)
    sources = mirror(room, data, Array())
    error = refused(agent, room, *sources)
    assert "disk1:disk, its array (ext4) is marked as not clean" in error["message"]
    agent("backup", *sources, "--name", "pc", "--unclean", "whole").ok()


@pytest.mark.parametrize("damage", ["checksum", "size"])
def test_damaged_super_block(damage: str, agent: Agent, room: Path, tree: Path) -> None:
    """Its mark and its numbers are there, but they can't be relied on."""
    data = inside(room, tree)
    array = Array("1.2" if damage == "size" else "0.90")
    sources = mirror(room, data, array, **({"size": SIZE * 9} if damage == "size" else {}))
    if damage == "checksum":
        with sources[1].open("r+b") as file:
            file.seek(sources[1].stat().st_size // 65536 * 65536 - 65536 + 39 * 4)
            file.write(b"\7")
    error = agent("backup", *sources, "--name", "pc").failed("source_refused")
    assert "disk1:disk (linux_raid_member) is a member of a RAID array" in error["message"]
    assert "--whole disk1:disk" in error["remedy"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_mdadm_that(
    ending: str, agent: Agent, room: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = mirror(room, inside(room, tree), Array())
    (room / "bin").mkdir()
    program = room / "bin/mdadm"
    program.write_text(f"#!/bin/sh\n{ENDINGS[ending]}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{room / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    error = agent("backup", *sources, "--name", "pc").failed("source_refused")
    for number in range(2):
        assert f"disk{number}:disk" in error["message"]
        assert f"--whole disk{number}:disk" in error["remedy"]


def test_larger_disk(agent: Agent, room: Path, tree: Path) -> None:
    """A super block at the end of a disk without a table is at another place then."""
    sources = mirror(room, inside(room, tree), Array("1.0"))
    agent("backup", *sources, "--name", "pc").ok()
    sizes = [sources[0].stat().st_size + MIB, sources[1].stat().st_size]
    targets = [filled(room / f"target{number}", size) for number, size in enumerate(sizes)]
    outcome = agent("restore", "pc", *placed(targets))
    outcome.ok()
    [warning] = [each["message"] for each in outcome.records if each["type"] == "warning"]
    assert warning.startswith("disk0:") and "larger disk" in warning


LEVELS: list[tuple[int | str, int]] = [
    ("linear", 2),
    (0, 2),
    (4, 3),
    (5, 3),
    (6, 4),
    (10, 2),
]


@pytest.mark.parametrize(
    ("level", "devices", "metadata"),
    [*((level, count, "1.2") for level, count in LEVELS), ("linear", 2, "0.90"), (5, 3, "0.90")],
)
def test_other_levels_are_whole(
    level: int | str, devices: int, metadata: str, agent: Agent, room: Path
) -> None:
    array = Array(metadata, level, devices, size=8 * MIB)
    sources = []
    for role in range(devices):
        noise = blank(room / "noise", array.size)
        noise.write_bytes(random.Random(role).randbytes(array.size))
        sources.append(member(room / f"member{role}", array, role, noise))
    error = refused(agent, room, *sources[1:])
    assert "device 0" in error["message"]
    found = previews(agent, *sources)
    assert {each["method"] for each in found} == {"whole"}
    assert f"of {devices} devices" in found[0]["reason"]
    agent("backup", *sources, "--name", "pc").ok()
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        assert hash_of(source) == hash_of(target)
    # Whoever asks for one has all of them here, too.
    agent("backup", *sources, "--name", "some", "--whole", "disk0:disk").ok()


def test_firmware_raid_with_all_its_disks(golden: Golden, agent: Agent, room: Path) -> None:
    """The disks of a mirror look like disks with a table of their own."""
    sources = [golden("mbr").copy(room / f"disk{number}").path for number in range(2)]
    for path in sources:
        mark_firmware(path, 2)
    error = refused(agent, room, sources[0])
    assert "1 of 2" in error["message"]
    found = previews(agent, *sources)
    assert [each["method"] for each in found] == ["whole"] * 2
    assert "imsm, 2 devices" in found[0]["reason"]
    agent("backup", *sources, "--name", "pc").ok()
    targets = [filled(room / f"{each.name}.target", each.stat().st_size) for each in sources]
    agent("restore", "pc", *placed(targets)).ok()
    for source, target in zip(sources, targets, strict=True):
        assert hash_of(source) == hash_of(target)
    mark_firmware(sources[1], 2, family=7)
    assert "1 of 2" in agent("backup", *sources, "--name", "pc").failed("source_refused")["message"]
