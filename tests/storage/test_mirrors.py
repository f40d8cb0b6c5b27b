# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors: all members of a RAID 1 in one image, each by what is in use inside of the array.

Real arrays, made and started by the kernel, are those of guest/test_raid.py.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from . import readers
from .conftest import Agent
from .containers import luks_format, make_linear, used_linear
from .disk_builder import MIB, attached, check, mounted, same_ranges, sh
from .hashes import hash_of
from .raid import SIZE, Array, blank, inside, mark, member, mirror, outside, previews, restored
from .test_partition_types import partitioned

METADATA = ["0.90", "1.0", "1.1", "1.2"]


def part_of(result: dict[str, Any], disk: int) -> dict[str, Any]:
    [part] = result["disks"][disk]["partitions"]
    return dict(part)


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
        sh(
            "dd",
            f"if={target}",
            f"of={plain}",
            "bs=1M",
            f"skip={array.offset // MIB}",
            f"count={size // MIB}",
            "conv=sparse",
            "status=none",
        )
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
        assert hash_of(source) == hash_of(target)


def test_members_in_partitions_of_one_disk_and_a_whole_disk(
    agent: Agent, room: Path, tree: Path
) -> None:
    array = Array("1.0", devices=3)
    data = inside(room, tree)
    disk = partitioned(room / "disk", "gpt", *[("A19D880F-05FC-4D3B-A006-743F0F84911E", 42)] * 2)
    for role in range(2):
        start = (1 + 42 * role) * MIB
        sh(
            "dd",
            f"if={data}",
            f"of={disk}",
            "bs=1M",
            f"seek={start // MIB}",
            "conv=notrunc",
            "status=none",
        )
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
