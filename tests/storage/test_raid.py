"""Members of RAID arrays: all of them in one image, or refused by name.

Real arrays, made and started by the kernel, are those of guest/test_raid.py.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import readers
from conftest import Agent
from containers import luks_format, make_linear, used_linear
from disk_builder import (
    MAKERS,
    MIB,
    Disk,
    attached,
    check,
    filled,
    mounted,
    same_ranges,
    sh,
    sha256,
)
from raid import Array, mark, mark_firmware, member
from test_failing_programs import ENDINGS
from test_partition_types import partitioned

Golden = Callable[[str], Disk]
METADATA = ["0.90", "1.0", "1.1", "1.2"]
SIZE = 40 * MIB


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def inside(room: Path, tree: Path, content: str = "ext4", size: int = SIZE) -> Path:
    """What an array shows, as a file."""
    path = blank(room / "inside", size)
    MAKERS[content](path, 512, tree)
    return path


def mirror(room: Path, data: Path, array: Array, **second: Any) -> list[Path]:
    """All members; `second`: what only the second one says."""
    members = []
    for role in range(array.devices):
        path = member(room / f"member{role}", array, role, data, **(second if role else {}))
        members.append(path)
    return members


def outside(path: Path, array: Array) -> list[tuple[int, int]]:
    return [(0, array.offset), (array.offset + array.size, path.stat().st_size)]


def previews(agent: Agent, *words: object) -> list[dict[str, str]]:
    return [each for disk in agent("probe", *words).ok()["disks"] for each in disk["partitions"]]


def placed(targets: list[Path]) -> list[str]:
    """Which is which: files have no serial number."""
    return [
        word
        for number, target in enumerate(targets)
        for word in ("--target", f"disk{number}={target}")
    ]


def restored(agent: Agent, room: Path, sources: list[Path]) -> list[Path]:
    targets = [filled(room / f"{each.name}.target", each.stat().st_size) for each in sources]
    words = ("pc", *placed(targets))
    agent("restore", *words).ok()
    assert agent("compare", *words).code == 0
    assert agent("restore", *words).ok()["changed"] is False
    for source, target in zip(sources, targets, strict=True):
        for question in (("mdadm", "--examine"), ("blkid", "-p", "-o", "export")):
            answers = [sh(*question, each).replace(str(each), "") for each in (source, target)]
            assert answers[0] == answers[1]
    return targets


def part_of(result: dict[str, Any], disk: int) -> dict[str, Any]:
    [part] = result["disks"][disk]["partitions"]
    return dict(part)


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


@pytest.mark.parametrize("metadata", METADATA)
def test_mirror_is_saved_by_what_is_in_use(
    metadata: str, agent: Agent, room: Path, tree: Path
) -> None:
    array = Array(metadata)
    data = inside(room, tree)
    sources = mirror(room, data, array)
    reasons = [each["reason"] for each in previews(agent, *sources)]
    assert all("a mirror of 2 devices, inside: ext4 used" in reason for reason in reasons)
    result = agent("backup", *sources, "--name", "pc").ok()
    used = [(a + array.offset, b + array.offset) for a, b in readers.ext(data)]
    expected = sum(b - a for a, b in [*used, *outside(sources[0], array)])
    for number in range(2):
        part = part_of(result, number)
        assert (part["content"], part["method"]) == ("linux_raid_member", "used")
        assert expected - 512 <= part["bytes_used"] <= expected < sources[0].stat().st_size
    # Cells that both have are read twice and kept once; super blocks differ.
    assert result["cells"]["same"] >= result["cells"]["total"] // 2 - 2
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        same_ranges(source, target, [*used, *outside(source, array)])
        with attached(target, offset=array.offset, size=SIZE) as device:
            sh("e2fsck", "-fn", device)


CONTENTS = ["ext3", "xfs", "btrfs", "ntfs", "fat16", "swap"]


@pytest.mark.parametrize("content", CONTENTS)
def test_any_file_system_in_a_mirror(content: str, agent: Agent, room: Path, tree: Path) -> None:
    size = 320 * MIB if content == "xfs" else 160 * MIB
    array = Array(size=size)
    sources = mirror(room, inside(room, tree, content, size), array)
    result = agent("backup", *sources, "--name", "pc").ok()
    assert part_of(result, 0)["bytes_used"] == part_of(result, 1)["bytes_used"] < size
    targets = restored(agent, room, sources)
    for target in targets:
        plain = blank(room / "plain", size)
        sh("dd", f"if={target}", f"of={plain}", "bs=1M", f"skip={array.offset // MIB}",
           f"count={size // MIB}", "conv=sparse", "status=none")  # fmt: skip
        check(plain, content, 512, tree)


def test_volumes_in_a_mirror(agent: Agent, room: Path, tree: Path) -> None:
    array = Array(size=64 * MIB)
    data = blank(room / "inside", array.size)
    make_linear(pieces=False)(data, 512, tree)
    sources = mirror(room, data, array)
    assert "inside: LVM2_member used (root: ext4 used" in previews(agent, *sources)[0]["reason"]
    result = agent("backup", *sources, "--name", "pc").ok()
    assert part_of(result, 0)["bytes_used"] < 40 * MIB
    used = [(a + array.offset, b + array.offset) for a, b in used_linear(data)]
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        same_ranges(source, target, [*used, *outside(source, array)])


@pytest.mark.parametrize("kind", ["table", "luks", "noise"])
def test_what_is_whole_in_a_mirror(kind: str, agent: Agent, room: Path, tree: Path) -> None:
    data = blank(room / "inside", SIZE)
    if kind == "table":
        sh("sfdisk", "-q", data, input="label: dos\nsize=8M\n")
    elif kind == "luks":
        luks_format(data)
    else:
        data.write_bytes(random.Random(8).randbytes(SIZE))
    word = {"table": "partition table", "luks": "no passphrase", "noise": "unknown whole"}[kind]
    # At the very start of the member, where the table looks like its own.
    sources = mirror(room, data, Array("1.0"))
    assert word in previews(agent, *sources)[0]["reason"]
    agent("backup", *sources, "--name", "pc").ok()
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        assert sha256(source) == sha256(target)


def test_members_in_partitions_of_one_disk_and_a_whole_disk(
    agent: Agent, room: Path, tree: Path
) -> None:
    array = Array("1.0", devices=3)
    data = inside(room, tree)
    disk = partitioned(room / "disk", "gpt", *[("A19D880F-05FC-4D3B-A006-743F0F84911E", 42)] * 2)
    for role in range(2):
        start = (1 + 42 * role) * MIB
        sh("dd", f"if={data}", f"of={disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc",
           "status=none")  # fmt: skip
        mark(disk, array, role, start, 42 * MIB)
    other = member(room / "other", array, 2, data)
    result = agent("backup", disk, other, "--name", "pc").ok()
    parts = [*result["disks"][0]["partitions"], *result["disks"][1]["partitions"]]
    assert [each["method"] for each in parts] == ["used"] * 3
    targets = restored(agent, room, [disk, other])
    for offset in (MIB, 43 * MIB):
        with attached(targets[0], offset=offset, size=SIZE) as device:
            sh("e2fsck", "-fn", device)
    error = refused_alone(agent, disk)
    assert "disk0:1" in error["message"] and "device 2" in error["message"]


def refused_alone(agent: Agent, path: Path) -> dict[str, Any]:
    return agent("backup", path, "--name", "alone").failed("source_refused")


def test_members_that_differ_where_something_is_in_use(
    agent: Agent, room: Path, tree: Path
) -> None:
    """Each is saved as it is, by what either of them says to be in use."""
    array = Array()
    data = inside(room, tree)
    sources = mirror(room, data, array)
    before = readers.ext(data)
    with mounted(data, "-o", "loop") as point:
        (point / "late").write_bytes(random.Random(9).randbytes(2 * MIB))
    member(sources[1], array, 1, data)
    after = readers.ext(data)
    assert sum(b - a for a, b in after) > sum(b - a for a, b in before) + MIB
    used = [(a + array.offset, b + array.offset) for a, b in [*before, *after]]
    result = agent("backup", *sources, "--name", "pc").ok()
    assert part_of(result, 0)["bytes_used"] == part_of(result, 1)["bytes_used"]
    for source, target in zip(sources, restored(agent, room, sources), strict=True):
        same_ranges(source, target, [*used, *outside(source, array)])


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
        assert sha256(source) == sha256(target)


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
    assert sha256(target) == sha256(alone)
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


LEVELS: list[tuple[int | str, int]] = [
    ("linear", 2), (0, 2), (4, 3), (5, 3), (6, 4), (10, 2),
]  # fmt: skip


@pytest.mark.parametrize("metadata", ["0.90", "1.2"])
@pytest.mark.parametrize(("level", "devices"), LEVELS)
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
        assert sha256(source) == sha256(target)
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
        assert sha256(source) == sha256(target)
    mark_firmware(sources[1], 2, family=7)
    assert "1 of 2" in agent("backup", *sources, "--name", "pc").failed("source_refused")["message"]
