# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that are not the disk of before: one partition of it, a smaller one, a larger one."""

import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from slipway.format import parse, serialize

from .conftest import Agent
from .disk_builder import (
    FILL,
    MAKERS,
    MIB,
    Disk,
    Part,
    attached,
    check,
    disk_with,
    filled,
    make_swap,
    mounted,
    same_ranges,
    same_tree,
    sh,
    used_ranges,
)
from .hashes import hash_of

Golden = Callable[[str], Disk]


def part_bytes(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def table(path: Path) -> str:
    return sh("sfdisk", "--dump", path).replace(str(path), "DISK")


# --- one partition -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 3, 4, 5, pytest.param(7, marks=pytest.mark.slow)])
def test_one_partition(number: int, golden: Golden, agent: Agent, room: Path, tree: Path) -> None:
    """It comes back; not one byte outside of it is written."""
    source = golden("gpt")
    agent("backup", source.path, "--name", "pc").ok()
    part = source.part(number)
    target = filled(room / "target", source.path.stat().st_size)
    with attached(target) as device:
        script = sh("sfdisk", "--dump", source.path).replace("label-id", "#label-id")
        sh("sfdisk", "-q", "--wipe=never", "--no-reread", "--no-tell-kernel", device, input=script)
    others = target.with_name("before")
    sh("cp", "--sparse=always", target, others)
    arguments = ("restore", "pc", "--target", f"disk0={target}", "--partition", f"disk0:{number}")
    assert agent(*arguments, "--dry-run").ok()["changed"] is True
    assert hash_of(target) == hash_of(others)
    result = agent(*arguments).ok()
    assert [each["partition"] for each in result["disks"][0]["partitions"]] == [str(number)]
    size = target.stat().st_size
    same_ranges(others, target, [(0, part.offset), (part.offset + part.size, size)])
    original = source.extract(part, room / "original")
    same_ranges(source.path, target, used_ranges(original, part.content), part.offset)
    restored = Disk(target, source.sector, source.parts, source.label)
    check(restored.extract(part, room / "restored"), part.content, source.sector, tree)
    again = hash_of(target)
    assert agent(*arguments).ok()["changed"] is False
    compare = agent("compare", "pc", "--target", f"disk0={target}", "--partition", number)
    assert compare.code == 0
    assert hash_of(target) == again


def test_a_logical_partition_and_a_swap_space(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = source.copy(room / "target")
    for number in (5, 6):
        part = target.part(number)
        with target.path.open("r+b") as file:
            file.seek(part.offset)
            file.write(bytes([FILL]) * 8192)
    result = agent("restore", "pc", target.path, "--partition", "5", "--partition", "6").ok()
    assert [each["partition"] for each in result["disks"][0]["partitions"]] == ["5", "6"]
    assert agent("compare", "pc", target.path).code == 0


def test_other_disks_of_the_image_need_not_be_there(
    golden: Golden, agent: Agent, room: Path
) -> None:
    first, second = golden("mbr"), golden("small")
    agent("backup", first.path, second.path, "--name", "pc").ok()
    target = second.copy(room / "target")
    with target.path.open("r+b") as file:
        file.seek(target.part(1).offset + MIB)
        file.write(bytes([FILL]) * 4096)
    result = agent("restore", "pc", target.path, "--partition", "disk1:1").ok()
    assert (result["changed"], [each["disk"] for each in result["disks"]]) == (True, ["disk1"])
    assert hash_of(target.path) == hash_of(second.path)


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("label: gpt\nstart=1MiB, size=29MiB\nstart=40MiB, size=30MiB\n", 1),
        ("label: gpt\nstart=2MiB, size=30MiB\nstart=40MiB, size=30MiB\n", 1),
        ("label: gpt\nstart=1MiB, size=30MiB\n", 2),
        ("label: dos\nstart=1MiB, size=80MiB, type=5\n", 1),
        ("", 1),
    ],
)
def test_no_such_place(script: str, place: int, golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("small")
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", source.path.stat().st_size)
    if script:
        sh("sfdisk", "-q", "--wipe=never", target, input=script)
    before = hash_of(target)
    error = agent("restore", "pc", target, "--partition", place).failed("target_refused")
    assert f"where disk0:{place} of the image belongs" in error["message"]
    assert hash_of(target) == before


@pytest.mark.parametrize("name", ["9", "disk1:1", "disk", "disk0:disk", "boot", ""])
def test_no_such_partition(name: str, golden: Golden, agent: Agent) -> None:
    agent("backup", golden("small").path, "--name", "pc").ok()
    error = agent("restore", "pc", golden("small").path, f"--partition={name}").failed("usage")
    assert "disk0:1, disk0:2" in error["remedy"]
    agent("restore", "pc", golden("small").path, f"--grow={name}").failed("usage")


def test_a_partition_that_is_half_restored_is_none(
    golden: Golden, agent: Agent, room: Path
) -> None:
    """The store fails half way: nobody takes the partition for a file system; others are whole."""
    source = golden("noisy")
    disk = source.copy(room / "disk")
    # A file system that fills its partition, with something to write in many cells.
    with disk.path.open("r+b") as file:
        file.seek(disk.part(1).offset + 20 * MIB)
        file.write(random.Random(9).randbytes(100 * MIB))
    agent("backup", source.path, "--name", "pc").ok()
    before = hash_of(disk.extract(disk.part(2), room / "part2"))
    table_before = table(disk.path)
    for chunk in sorted((agent.store / "chunks").rglob("?" * 64))[:3]:
        # Found only when it is fetched: the folder store has just proven all of them otherwise.
        chunk.rename(chunk.with_suffix(".away"))
    agent("restore", "pc", disk.path, "--partition", "1").failed("image_damaged")
    assert table(disk.path) == table_before
    assert hash_of(disk.extract(disk.part(2), room / "part2")) == before
    for chunk in sorted((agent.store / "chunks").rglob("*.away")):
        chunk.rename(chunk.with_suffix(""))
    agent("restore", "pc", disk.path, "--partition", "1").ok()
    assert agent("compare", "pc", disk.path).code == 0


# --- a smaller disk ------------------------------------------------------------------------


def make_ext4(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.ext4", "-q", "-F", "-d", tree, path)


GPT_TAIL = "label: gpt\nstart=1MiB, size=60MiB, name=root\nstart=62MiB, size=20MiB, type=S\n"
MBR_TAIL = (
    "label: dos\nstart=1MiB, size=60MiB, type=83, bootable\n"
    "start=62MiB, size=138MiB, type=5\nstart=63MiB, size=20MiB, type=82\n"
)
MBR_SWAP = (
    "label: dos\nstart=1MiB, size=60MiB, type=83, bootable\n"
    "start=62MiB, size=138MiB, type=5\nstart=63MiB, size=10MiB, type=83\n"
    "start=75MiB, size=125MiB, type=82\n"
)
GPT_SWAP = "label: gpt\nstart=1MiB, size=60MiB, name=root\nstart=62MiB, type=S, name=swap\n"


@pytest.mark.parametrize(
    ("script", "sector"), [(GPT_TAIL, 512), (GPT_TAIL, 4096), (MBR_TAIL, 512), (MBR_TAIL, 4096)]
)
def test_smaller_disk_without_the_free_space_at_the_end(
    script: str, sector: int, agent: Agent, room: Path, tree: Path
) -> None:
    swap = 5 if "dos" in script else 2
    source = disk_with(room, script, 200 * MIB, {1: make_ext4, swap: make_swap}, tree, sector)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 100 * MIB + 12288)
    with attached(target, sector) as device:
        place = ("restore", "pc", "--target", f"disk0={device}")
        assert agent(*place, "--dry-run").ok()["changed"] is True
        assert agent(*place).ok()["changed"] is True
        assert agent(*place).ok()["changed"] is False
        verdict = sh("sfdisk", "--verify", device)
        assert "No errors detected" in verdict, verdict
        if "gpt" in script:
            assert "No problems found" in sh("sgdisk", "-v", device)
        with attached(source.path, sector) as other:
            rows = [sh("sfdisk", "--dump", each).splitlines() for each in (device, other)]
    for part in source.parts:
        assert part_bytes(target, part.offset, 4096) == part_bytes(source.path, part.offset, 4096)
    restored = Disk(target, sector, source.parts)
    check(restored.extract(source.part(1), room / "restored"), "ext4", sector, tree)
    same_tree(*_trees(room / "restored", tree, sector))
    starts = [
        [row.split("size=")[0].split()[2:] for row in each if "start=" in row] for each in rows
    ]
    assert starts[0] == starts[1]


def _trees(path: Path, tree: Path, sector: int) -> tuple[Path, Path]:
    back = path.with_name("files")
    back.mkdir()
    with attached(path, sector) as device:
        sh("debugfs", "-R", f"rdump / {back}", device)
    sh("rmdir", back / "lost+found")
    return back, tree


@pytest.mark.parametrize(("script", "sector"), [(GPT_SWAP, 512), (GPT_SWAP, 4096), (MBR_SWAP, 512)])
def test_swap_at_the_end_is_made_smaller(
    script: str, sector: int, agent: Agent, room: Path, tree: Path
) -> None:
    number = 6 if "dos" in script else 2
    source = disk_with(room, script, 200 * MIB, {1: make_ext4, number: make_swap}, tree, sector)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 150 * MIB + 12288)
    with attached(target, sector) as device:
        place = ("restore", "pc", "--target", f"disk0={device}")
        outcome = agent(*place)
        assert outcome.ok()["changed"] is True
        warnings = [each["message"] for each in outcome.records if each["type"] == "warning"]
        assert any("swap space is made smaller" in each for each in warnings)
        assert agent(*place).ok()["changed"] is False
        assert "No errors detected" in sh("sfdisk", "--verify", device)
        rows = [row for row in sh("sfdisk", "--dump", device).splitlines() if "start=" in row]
    words = rows[-1].replace(",", " ").replace("=", " ").split()
    start = int(words[words.index("start") + 1]) * sector
    size = int(words[words.index("size") + 1]) * sector
    assert start == source.part(number).offset
    assert start + size == (149 if "gpt" in script else 150) * MIB
    check_swap(target, room, start, size, source.part(number))
    if "dos" in script:
        # The container ends where the disk does, or before.
        extended = struct.unpack_from("<II", part_bytes(target, 446 + 16 + 8, 8))
        assert sum(extended) * sector <= target.stat().st_size


def test_swap_space_without_a_header_is_refused_before_the_first_write(
    agent: Agent, room: Path, tree: Path
) -> None:
    """A crafted or damaged image; on a disk of the same size it is bytes like any other."""
    source = disk_with(room, GPT_SWAP, 200 * MIB, {1: make_ext4, 2: make_swap}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    [path] = (agent.store / "images/pc").iterdir()
    manifest = parse(path.read_bytes())
    disk = manifest.disks[0]
    other = next(each for each in disk.segments if each.content == "ext4").digests[:32]
    segments = tuple(
        replace(each, digests=other) if each.method == "swap" else each for each in disk.segments
    )
    path.write_bytes(serialize(replace(manifest, disks=(replace(disk, segments=segments),))))
    for size in (150 * MIB, 300 * MIB):
        target = filled(room / "target", size)
        arguments = ["restore", "pc", "--target", f"disk0={target}", "--grow", "last"]
        error = agent(*arguments).failed("image_damaged")
        assert "disk0:2" in error["message"] and "swap" in error["message"]
        assert target.read_bytes().count(FILL) == size


def check_swap(target: Path, room: Path, start: int, size: int, part: Part) -> None:
    """The kernel takes it, as large as it should be; UUID and label are as they were."""
    piece = room / "swap"
    sh(
        "dd",
        f"if={target}",
        f"of={piece}",
        "bs=1M",
        f"skip={start // MIB}",
        f"count={size // MIB}",
        "conv=sparse",
        "status=none",
    )
    fields = [
        sh("blkid", "-p", "-o", "export", "-s", "UUID", "-s", "LABEL", "-O", each[1], each[0])
        for each in ((piece, 0), (room / "source", part.offset))
    ]
    strip = [[row for row in each.splitlines() if not row.startswith("DEVNAME")] for each in fields]
    assert strip[0] == strip[1]
    assert len(strip[0]) == 2
    with attached(piece) as device:
        sh("swapon", device)
        try:
            [row] = [
                each.split()
                for each in sh("swapon", "--show", "--bytes", "--noheadings").splitlines()
                if str(device) in each
            ]
            assert int(row[2]) == size - 4096
        finally:
            sh("swapoff", device)


@pytest.mark.parametrize(
    ("script", "number", "needed"),
    [
        (GPT_SWAP, 2, 63 * MIB + 33 * 512),
        (MBR_SWAP, 6, 76 * MIB),
        ("label: gpt\nstart=1MiB, size=150MiB\n", 1, 151 * MIB + 33 * 512),
        ("label: dos\nstart=1MiB, size=150MiB\n", 1, 151 * MIB),
    ],
)
def test_too_small_says_what_is_needed(
    script: str, number: int, needed: int, agent: Agent, room: Path, tree: Path
) -> None:
    maker = make_swap if "swap" in script or "82" in script else MAKERS["exfat"]
    source = disk_with(room, script, 200 * MIB, {number: maker}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", needed - 512)
    before = hash_of(target)
    error = agent("restore", "pc", "--target", f"disk0={target}").failed("target_refused")
    assert str(needed) in error["message"]
    assert str(needed) in error["remedy"]
    assert hash_of(target) == before
    target = filled(target, needed)
    agent("restore", "pc", "--target", f"disk0={target}").ok()
    assert "No errors detected" in sh("sfdisk", "--verify", target)


def test_what_lies_in_free_space_behind_the_cut_is_told(
    agent: Agent, room: Path, tree: Path
) -> None:
    source = disk_with(room, GPT_TAIL, 100 * MIB, {1: make_ext4}, tree)
    with source.path.open("r+b") as file:
        file.seek(100 * MIB - (300 << 10))
        file.write(b"something")
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 90 * MIB)
    outcome = agent("restore", "pc", "--target", f"disk0={target}")
    [warning] = [each["message"] for each in outcome.records if each["type"] == "warning"]
    assert "unallocated space" in warning
    assert outcome.ok()["changed"] is True
    assert agent("restore", "pc", "--target", f"disk0={target}").ok()["changed"] is False


# --- a larger disk -------------------------------------------------------------------------


def last_partition(device: Path, sector: int) -> tuple[int, int]:
    rows = [row for row in sh("sfdisk", "--dump", device).splitlines() if "start=" in row]
    words = rows[-1].replace(",", " ").replace("=", " ").split()
    return tuple(int(words[words.index(key) + 1]) * sector for key in ("start", "size"))  # type: ignore[return-value]


def size_of(path: Path, content: str, sector: int) -> int:
    """How large the file system says it is."""
    if content.startswith("ext"):
        words = dict(
            row.split(":", 1) for row in sh("dumpe2fs", "-h", path).splitlines() if ":" in row
        )
        return int(words["Block count"]) * int(words["Block size"])
    if content == "ntfs":
        rows = sh("ntfsresize", "--info", "--force", "--no-progress-bar", path).splitlines()
        [row] = [each for each in rows if each.startswith("Current volume size")]
        return int(row.split(":")[1].split()[0])
    if content == "xfs":
        words = dict(
            row.split(" = ")
            for row in sh(
                "xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks blocksize", path
            ).splitlines()
        )
        return int(words["dblocks"]) * int(words["blocksize"])
    rows = sh("btrfs", "inspect-internal", "dump-super", path).splitlines()
    return int(next(row.split()[1] for row in rows if row.startswith("total_bytes")))


@pytest.mark.parametrize(
    ("content", "label", "sector"),
    [
        ("ext2", "dos", 512),
        ("ext3", "gpt", 512),
        ("ext4", "gpt", 4096),
        ("ext4", "logical", 512),
        ("xfs", "gpt", 512),
        ("xfs", "gpt", 4096),
        ("btrfs", "gpt", 512),
        ("ntfs", "dos", 512),
        ("ntfs", "gpt", 4096),
    ],
)
def test_last_partition_grows(
    content: str, label: str, sector: int, agent: Agent, room: Path, tree: Path
) -> None:
    script = {
        "dos": "label: dos\nstart=1MiB, size=8MiB\nstart=10MiB, size=350MiB\n",
        "gpt": "label: gpt\nstart=1MiB, size=8MiB\nstart=10MiB, size=350MiB, name=last\n",
        "logical": "label: dos\nstart=1MiB, size=8MiB\nstart=10MiB, size=380MiB, type=5\n"
        "start=11MiB, size=8MiB\nstart=20MiB, size=350MiB\n",
    }[label]
    number = 6 if label == "logical" else 2
    source = disk_with(room, script, 400 * MIB, {number: MAKERS[content]}, tree, sector)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 700 * MIB)
    with attached(target, sector) as device:
        place = ("restore", "pc", "--target", f"disk0={device}", "--grow", "last")
        assert agent(*place, "--dry-run").ok()["changed"] is True
        assert agent(*place, "--read-back").ok()["changed"] is True
        assert "No errors detected" in sh("sfdisk", "--verify", device)
        start, size = last_partition(device, sector)
        assert start == source.part(number).offset
        assert start + size == (700 if label != "gpt" else 699) * MIB
        part = Disk(target, sector).extract(Part(number, start, size, ""), room / "grown")
        grown_size = size_of(part, content, sector)
        assert size - MIB < grown_size <= size
        check(part, content, sector, tree)
        # It differs from the image by what growing changed, so it is set back and grown again.
        assert agent(*place).ok()["changed"] is True
        assert last_partition(device, sector) == (start, size)
        check(
            Disk(target, sector).extract(Part(number, start, size, ""), part), content, sector, tree
        )
        # Without --grow the disk becomes exactly what the image is.
        agent("restore", "pc", "--target", f"disk0={device}").ok()
        assert last_partition(device, sector) == (start, 350 * MIB)
        part = Disk(target, sector).extract(Part(number, start, 350 * MIB, ""), room / "grown")
        check(part, content, sector, tree)


def test_swap_grows_and_a_second_run_changes_nothing(agent: Agent, room: Path, tree: Path) -> None:
    script = "label: gpt\nstart=1MiB, size=60MiB\nstart=62MiB, size=30MiB, type=S\n"
    source = disk_with(room, script, 100 * MIB, {1: make_ext4, 2: make_swap}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 200 * MIB)
    place = ("restore", "pc", "--target", f"disk0={target}", "--grow", "disk0:2")
    assert agent(*place).ok()["changed"] is True
    check_swap(target, room, 62 * MIB, 137 * MIB, source.part(2))
    assert agent(*place).ok()["changed"] is False


def test_a_partition_in_the_middle_grows_up_to_the_next(
    agent: Agent, room: Path, tree: Path
) -> None:
    script = "label: gpt\nstart=1MiB, size=40MiB\nstart=70MiB, size=20MiB\n"
    source = disk_with(room, script, 100 * MIB, {1: make_ext4, 2: make_ext4}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 120 * MIB)
    place = ("restore", "pc", "--target", f"disk0={target}")
    agent(*place, "--grow", "1", "--grow", "disk0:2").ok()
    for number, start, size in ((1, 1, 69), (2, 70, 49)):
        part = Disk(target, 512).extract(Part(number, start * MIB, size * MIB, ""), room / "grown")
        assert size_of(part, "ext4", 512) == size * MIB
        check(part, "ext4", 512, tree)


@pytest.mark.parametrize(
    ("grow", "content", "says"),
    [
        ("last", "fat16", "no well-kept program makes FAT larger"),
        ("last", "exfat", "exFAT"),
        ("last", "noise", "none of ext2"),
        ("1", "noise", "no free space lies behind it"),
    ],
)
def test_growth_that_is_refused(
    grow: str, content: str, says: str, agent: Agent, room: Path, tree: Path
) -> None:
    script = "label: gpt\nstart=1MiB, size=40MiB\nstart=41MiB, size=40MiB\n"
    source = disk_with(room, script, 100 * MIB, {1: make_ext4, 2: MAKERS[content]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 120 * MIB)
    before = hash_of(target)
    place = ("restore", "pc", "--target", f"disk0={target}", "--grow", grow)
    assert says in agent(*place).failed("target_refused")["message"]
    assert hash_of(target) == before
    agent(*place, "--partition", "1").failed("usage")


def test_growth_that_fails_leaves_a_complete_disk(
    agent: Agent, room: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so, the old file system is sound in its larger partition; again grows it."""
    script = "label: gpt\nstart=1MiB, size=40MiB\n"
    source = disk_with(room, script, 60 * MIB, {1: make_ext4}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 100 * MIB)
    fake = tmp_path / "resize2fs"
    fake.write_text("#!/bin/sh\necho 'resize2fs: out of luck' >&2\nexit 1\n")
    fake.chmod(0o755)
    place = ("restore", "pc", "--target", f"disk0={target}", "--grow", "last")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        error = agent(*place).failed("tool_failed")
    assert "is restored and complete" in error["message"]
    assert "out of luck" in error["message"]
    assert "No problems found" in sh("sgdisk", "-v", target)
    part = Disk(target, 512).extract(Part(1, MIB, 98 * MIB, ""), room / "grown")
    check(part, "ext4", 512, tree)
    agent(*place).ok()
    part = Disk(target, 512).extract(Part(1, MIB, 98 * MIB, ""), room / "grown")
    assert size_of(part, "ext4", 512) == 98 * MIB


def test_a_missing_program_is_found_before_the_first_write(
    agent: Agent, room: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = disk_with(room, "label: dos\nstart=1MiB, size=40MiB\n", 60 * MIB, {1: make_ext4}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 100 * MIB)
    before = hash_of(target)
    for program in ("lsblk", "blkid", "sfdisk", "e2fsck"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(tmp_path))
    place = ("restore", "pc", "--target", f"disk0={target}", "--grow", "last")
    error = agent(*place).failed("tool_failed")
    assert "resize2fs is missing" in error["message"]
    assert "e2fsprogs" in error["remedy"]
    assert hash_of(target) == before


def test_nothing_to_grow_on_a_disk_of_the_same_size(
    golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden("small")
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", source.path.stat().st_size)
    agent("restore", "pc", target, "--grow", "last").ok()
    assert agent("restore", "pc", target, "--grow", "last").ok()["changed"] is False
    assert agent("compare", "pc", target).code == 0


def test_mounted_growth_leaves_nothing_mounted(agent: Agent, room: Path, tree: Path) -> None:
    """XFS grows while it is mounted: the mount is gone afterwards, and so is its folder."""
    script = "label: gpt\nstart=1MiB, size=350MiB\n"
    source = disk_with(room, script, 400 * MIB, {1: MAKERS["xfs"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 500 * MIB)
    before = Path("/proc/mounts").read_text()
    agent("restore", "pc", "--target", f"disk0={target}", "--grow", "last").ok()
    assert Path("/proc/mounts").read_text() == before
    part = Disk(target, 512).extract(Part(1, MIB, 498 * MIB, ""), room / "grown")
    with attached(part) as device, mounted(_link(device, room), "-o", "ro") as point:
        same_tree(point / "tree", tree)


def _link(device: Path, room: Path) -> Path:
    link = room / "link"
    link.symlink_to(device)
    return link
