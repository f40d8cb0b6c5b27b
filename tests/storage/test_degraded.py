"""Source disks that fail: what can't be read is told exactly, and nobody gets it unasked."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import Agent
from disk_builder import Disk, Part, filled, same_ranges, sh, sha256, used_ranges
from failing_disk import FailingDisk, on_loop

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
    [("small", 1, 1), ("small", 1, 10), ("small", 1, 1000), ("gpt4k", 2, 10)],
)
def test_exactly_the_bad_sectors_are_missing(
    shape: str, number: int, count: int, golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden(shape)
    part, before = source.part(number), sha256(source.path)
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
    assert sha256(source.path) == before

    target = filled(room / "target", source.path.stat().st_size)
    untouched = sha256(target)
    for extra in ([], ["--dry-run"]):
        error = agent("restore", "pc", target, *extra).failed("image_degraded")
        assert f"{lost} bytes" in error["message"]
        assert f"disk0:{number}" in error["message"]
        assert "--allow-degraded" in error["remedy"]
    assert sha256(target) == untouched

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
