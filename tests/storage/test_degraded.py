# SPDX-License-Identifier: GPL-3.0-or-later
"""Source disks that fail: what can't be read is told exactly, and nobody gets it unasked."""

import json
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Agent, Outcome
from .disk_builder import (
    MIB,
    Disk,
    Part,
    attached,
    filled,
    make_ext,
    make_fat,
    same_ranges,
    sh,
    used_ranges,
)
from .failing_disk import FailingDisk, on_loop
from .hashes import hash_of

Golden = Callable[[str], Disk]
Ranges = list[tuple[int, int]]


def file_sectors(disk: Disk, part: Part, name: str, room: Path) -> list[int]:
    """Offsets on the disk of all sectors that hold the content of a file of an ext4."""
    image = disk.extract(part, room / "part")
    size = int(sh("dumpe2fs", "-h", image).split("Block size:")[1].split()[0])
    words = sh("debugfs", "-R", f"blocks {name}", image).splitlines()[-1].split()
    starts = (part.offset + int(word) * size for word in words)
    # Blocks may be smaller than sectors, and larger.
    places = (start + at for start in starts for at in range(0, size, 512))
    return sorted({place // disk.sector * disk.sector for place in places})


def merged(sectors: Iterable[int], size: int) -> Ranges:
    """Sectors as ranges, touching ones made one."""
    ranges: Ranges = []
    for start in sorted(sectors):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + size)
        else:
            ranges.append((start, start + size))
    return ranges


def unreadable(agent: Agent, version: str) -> Ranges:
    """What the manifest says, read as FORMAT.md describes it, as ranges of the first disk."""
    manifest = json.loads((agent.store / f"images/pc/{version}.json").read_text())["manifest"]
    [disk] = manifest["disks"]
    ranges = []
    for segment in disk["segments"]:
        position = segment["offset"]
        for word in segment.get("unreadable", "").split():
            gap, length = (int(each) * disk["logical_sector"] for each in word.split("+"))
            position += gap + length
            ranges.append((position - length, position))
    return ranges


def with_holes(source: Path, copy: Path, holes: Ranges) -> Path:
    """The disk as a restore has to make it: zeros where nothing could be read."""
    sh("cp", "--sparse=always", source, copy)
    with copy.open("r+b") as file:
        for start, end in holes:
            file.seek(start)
            file.write(bytes(end - start))
    return copy


def warnings(records: list[dict[str, Any]]) -> list[str]:
    return [each["message"] for each in records if each["type"] == "warning"]


@pytest.mark.parametrize(
    ("shape", "number", "count"),
    [("small", 1, 1), ("small", 1, 10), ("gpt4k", 2, 10), ("small", 1, 1000)],
)
def test_exactly_the_bad_sectors_are_missing(
    shape: str, number: int, count: int, golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden(shape)
    part, before = source.part(number), hash_of(source.path)
    sectors = random.Random(count).sample(file_sectors(source, part, "/random", room), count)
    bad = merged(sectors, source.sector)
    with (
        FailingDisk(source.path, room) as failing,
        on_loop(failing.path, source.sector) as device,
    ):
        failing.faults(bad=bad)
        run = agent("backup", device, "--name", "pc")
    saved = run.ok()
    lost = count * source.sector
    assert (saved["degraded"], saved["unreadable"]) == (True, lost)
    [told] = [each for each in saved["disks"][0]["partitions"] if each["unreadable"]]
    assert (told["partition"], told["unreadable"]) == (str(number), lost)
    [warning] = warnings(run.records)
    assert f"{lost} bytes of disk0:{number} (ext4)" in warning
    assert unreadable(agent, saved["version"]) == bad
    assert hash_of(source.path) == before

    target = filled(room / "target", source.path.stat().st_size)
    untouched = hash_of(target)
    for extra in ([], ["--dry-run"]):
        error = agent("restore", "pc", target, *extra).failed("image_degraded")
        assert f"{lost} bytes" in error["message"]
        assert f"disk0:{number}" in error["message"]
        assert "--allow-degraded" in error["remedy"]
    assert hash_of(target) == untouched

    restored = agent("restore", "pc", target, "--allow-degraded")
    assert (restored.ok()["degraded"], restored.ok()["unreadable"]) == (True, lost)
    assert warnings(restored.records)
    expected = with_holes(source.path, room / "expected", bad)
    same_ranges(expected, target, source.table_ranges())
    for each in source.parts:
        used = used_ranges(source.extract(each, room / "original"), each.content)
        same_ranges(expected, target, used, each.offset)


def test_a_degraded_version_is_shown_as_such(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("small")
    [first, *_] = file_sectors(source, source.part(1), "/random", room)
    with FailingDisk(source.path, room) as failing:
        failing.faults(bad=[(first, first + 512)])
        degraded = agent("backup", failing.path, "--name", "pc").ok()
        failing.faults()
        healthy = agent("backup", failing.path, "--name", "pc").ok()
    assert (healthy["degraded"], healthy["unreadable"]) == (False, 0)
    # Only the cell that was missing is new.
    assert healthy["cells"]["sent"] == 1
    [image] = agent("list").ok()["images"]
    assert [each["unreadable"] for each in image["versions"]] == [512, 0]
    text = agent.text("list").splitlines()
    assert ["degraded" in line for line in text] == [True, False]

    verified = agent("verify", f"pc@{degraded['version']}")
    assert verified.ok()["degraded"] is True
    assert "degraded" in warnings(verified.records)[0]
    assert agent("verify", "pc").ok()["degraded"] is False

    compared = agent("compare", f"pc@{degraded['version']}", source.path)
    assert (compared.code, compared.ok()["unreadable"]) == (1, 512)
    assert "degraded" in warnings(compared.records)[0]


def backup_of(source: Path, bad: Ranges, agent: Agent, room: Path, *options: object) -> Outcome:
    """A backup of a block device that does not give the bad ranges."""
    before = hash_of(source)
    with FailingDisk(source, room) as failing, on_loop(failing.path) as device:
        failing.faults(bad=bad)
        run = agent("backup", device, "--name", "pc", *options)
    assert hash_of(source) == before
    return run


def test_unreadable_table(golden: Golden, agent: Agent, room: Path) -> None:
    """Refused: a half-known table would make an image that lacks partitions."""
    places = [
        ("small", 0),
        ("small", 512),
        ("small", 1024),
        ("mbr", 0),
        ("mbr", golden("mbr").part(5).offset - MIB),
    ]
    for shape, at in places:
        bad = [(at, at + 512)]
        run = backup_of(golden(shape).path, bad, agent, room)
        error = run.failed("source_refused")
        assert "table can't be read" in error["message"]
        assert "--whole disk0:disk" in error["remedy"]
    assert agent("list").ok()["images"] == []
    saved = backup_of(golden("small").path, [(512, 1024)], agent, room, "--whole", "disk0:disk")
    assert unreadable(agent, saved.ok()["version"]) == [(512, 1024)]


def test_unreadable_primary_with_a_sound_backup(golden: Golden, agent: Agent, room: Path) -> None:
    """Refused with the way out: the image would boot nowhere where firmware sees the primary."""
    bad = [(8192, 8704)]
    error = backup_of(golden("small").path, bad, agent, room).failed("source_refused")
    assert "is sound" in error["message"] and "gdisk" in error["remedy"]
    assert "--whole disk0:disk" in error["remedy"]
    size = golden("small").path.stat().st_size
    both = [*bad, (size - 512, size)]
    error = backup_of(golden("small").path, both, agent, room).failed("source_refused")
    assert "gdisk" not in error["remedy"]


@pytest.mark.parametrize("shape", ["small", pytest.param("gpt4k", marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", [1, 5, 0], ids=["header", "entries", "first entries"])
def test_unreadable_backup_table_is_written_anew(
    shape: str, place: int, golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden(shape)
    size, sector = source.path.stat().st_size, source.sector
    at = size - (place or 16384 // sector + 1) * sector
    with (
        FailingDisk(source.path, room) as failing,
        on_loop(failing.path, sector) as device,
    ):
        failing.faults(bad=[(at, at + sector)])
        [looked] = agent("probe", device).ok()["disks"]
        run = agent("backup", device, "--name", "pc")
    saved = run.ok()
    assert (saved["degraded"], saved["unreadable"]) == (False, 0)
    [warning] = warnings(run.records)
    assert "backup of its partition table can't be read" in warning
    assert looked["warnings"] == [warning]
    for length in (size, size + 64 * MIB):
        target = filled(room / "target", length)
        with attached(target, sector) as device:
            place_it = ("--target", f"disk0={device}")
            agent("restore", "pc", device, *place_it).ok()
            assert "No problems found" in sh("sgdisk", "-v", device)
            assert table_of(device) == table_of_source(source)
            assert agent("restore", "pc", device, *place_it).ok()["changed"] is False
        for part in source.parts:
            used = used_ranges(source.extract(part, room / "original"), part.content)
            same_ranges(source.path, target, used, part.offset)
        # A backup that is lost later is a difference, and comes back.
        with target.open("r+b") as file:
            file.seek(length - sector)
            file.write(bytes(sector))
        with attached(target, sector) as device:
            assert agent("compare", "pc", device, *place_it[:1], f"disk0={device}").code == 1
            assert agent("restore", "pc", device, "--target", f"disk0={device}").ok()["changed"]
            assert "No problems found" in sh("sgdisk", "-v", device)


def table_of(device: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(sh("sfdisk", "--json", device))["partitiontable"][
        "partitions"
    ]
    return [{key: row[key] for key in row if key != "node"} for row in rows]


def table_of_source(source: Disk) -> list[dict[str, Any]]:
    with attached(source.path, source.sector) as device:
        return table_of(device)


def test_last_sector_of_a_disk_with_an_mbr(golden: Golden, agent: Agent, room: Path) -> None:
    """It belongs to no table, though sfdisk reads it; logical partitions are all there."""
    source = golden("mbr")
    size = source.path.stat().st_size
    bad = [(size - 512, size)]
    saved = backup_of(source.path, bad, agent, room).ok()
    assert {each["partition"] for each in saved["disks"][0]["partitions"]} >= {"1", "5", "6"}
    assert unreadable(agent, saved["version"]) == bad


def test_unreadable_gap_is_recorded(golden: Golden, agent: Agent, room: Path) -> None:
    bad = [(1000 * 512, 1002 * 512)]
    saved = backup_of(golden("small").path, bad, agent, room).ok()
    assert unreadable(agent, saved["version"]) == bad


@pytest.mark.parametrize("content", ["ext4", "fat32"])
def test_unreadable_head_of_a_disk_without_a_table(
    content: str, agent: Agent, room: Path, tree: Path
) -> None:
    """blkid calls it unknown, and a FAT's first sector then passes for an empty table."""
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    (make_ext("ext4") if content == "ext4" else make_fat("-F", "32"))(path, 512, tree)
    for block in (0, 1, 2, 12, 16):
        run = backup_of(path, [(block * 4096, block * 4096 + 512)], agent, room)
        assert "--whole disk0:disk" in run.failed("source_refused")["remedy"]
    bad = [(2 * 4096, 2 * 4096 + 512)]
    saved = backup_of(path, bad, agent, room, "--whole", "disk0:disk").ok()
    assert (saved["read"], unreadable(agent, saved["version"])) == (64 * MIB, bad)


def test_unreadable_superblock(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("mbr")
    start = source.part(5).offset + 1024
    run = backup_of(source.path, [(start, start + 512)], agent, room)
    assert "--whole disk0:5" in run.failed("source_refused")["remedy"]
    saved = backup_of(source.path, [(start, start + 512)], agent, room, "--whole", "disk0:5")
    assert unreadable(agent, saved.ok()["version"]) == [(start, start + 512)]


def test_too_much_is_lost(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("small")
    [first, *_] = file_sectors(source, source.part(1), "/random", room)
    bad = [(first, first + 512)]
    run = backup_of(source.path, bad, agent, room, "--max-unreadable", 511)
    assert "--max-unreadable" in run.failed("device_error")["remedy"]
    run = backup_of(source.path, bad, agent, room, "--rescue-minutes", 0)
    assert "--rescue-minutes" in run.failed("device_error")["remedy"]
    assert agent("list").ok()["images"] == []
    backup_of(source.path, bad, agent, room, "--max-unreadable", 512).ok()


@pytest.mark.parametrize("pulled", [False, True], ids=["silent", "pulled out"])
def test_a_disk_that_goes_away_is_no_disk_of_zeros(
    pulled: bool, golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden("noisy")
    with FailingDisk(source.path, room) as failing, on_loop(failing.path) as device:
        process = agent.start("backup", device, "--name", "pc", "--threads", 1)
        while not list((agent.store / "tmp").glob("run-*/*")):
            assert process.poll() is None
            time.sleep(0.002)
        failing.kill() if pulled else failing.faults(gone=True)
        stdout, _ = process.communicate(timeout=120)
    error = json.loads(stdout.splitlines()[-1])
    assert (process.returncode, error["error"]) == (10, "device_error")
    assert "does not answer any more" in error["message"]
    assert agent("list").ok()["images"] == []
