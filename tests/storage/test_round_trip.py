# SPDX-License-Identifier: GPL-3.0-or-later
"""Back a disk up, restore it onto a dirty one, and compare outside the agent's code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import (
    FILL,
    MIB,
    Disk,
    attached,
    check,
    filled,
    make_ext,
    same_ranges,
    sh,
    used_ranges,
)
from .hashes import hash_of

Golden = Callable[[str], Disk]


def same_disk(source: Disk, target: Path, room: Path, tree: Path) -> None:
    """Tables, used ranges, checkers, files."""
    same_ranges(source.path, target, source.table_ranges())
    restored = Disk(target, source.sector, source.parts, source.label)
    for part in source.parts:
        original = source.extract(part, room / "original")
        same_ranges(source.path, target, used_ranges(original, part.content), part.offset)
        check(restored.extract(part, room / "restored"), part.content, source.sector, tree)


@pytest.mark.every_case
@pytest.mark.parametrize("shape", ["mbr", "gpt", "gpt4k"])
def test_disk_comes_back(shape: str, golden: Golden, agent: Agent, room: Path, tree: Path) -> None:
    source = golden(shape)
    before = hash_of(source.path)
    saved = agent("backup", source.path, "--name", "pc").ok()
    again = agent("backup", source.path, "--name", "pc").ok()
    assert hash_of(source.path) == before
    assert saved["sent"] > 0
    assert (again["sent"], again["cells"]["sent"]) == (0, 0)
    assert again["version"] != saved["version"]
    assert {part["partition"] for part in saved["disks"][0]["partitions"]} == {
        str(part.number) for part in source.parts
    }

    target = filled(room / "target", source.path.stat().st_size)
    assert agent("restore", "pc", "--target", f"disk0={target}").ok()["changed"] is True
    same_disk(source, target, room, tree)

    restored = hash_of(target)
    idle = agent("restore", "pc", target).ok()
    assert (idle["changed"], idle["written"]) == (False, 0)
    assert agent("compare", "pc", target).code == 0
    assert hash_of(target) == restored


@pytest.mark.parametrize("shape", ["mbr", "gpt4k"])
def test_loop_devices_work_like_files(
    shape: str, golden: Golden, agent: Agent, room: Path, tree: Path
) -> None:
    source = golden(shape)
    target = filled(room / "target", source.path.stat().st_size)
    with attached(source.path, source.sector) as device:
        agent("backup", device, "--name", "pc").ok()
    with attached(target, source.sector) as device:
        agent("restore", "pc", device).ok()
    same_disk(source, target, room, tree)


def test_free_space_is_neither_saved_nor_written(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("mbr")
    result = agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", source.path.stat().st_size)
    agent("restore", "pc", target).ok()
    swap = source.part(6)
    with target.open("rb") as file:
        # But for its first and last MiB, where marks of what lay on the target are cleared.
        file.seek(swap.offset + MIB)
        between = swap.size - 2 * MIB
        assert file.read(between) == bytes([FILL]) * between
        assert file.read(MIB) == bytes(MIB)
    assert result["read"] < source.path.stat().st_size / 3


def test_used_zeros_are_written(golden: Golden, agent: Agent, room: Path, tree: Path) -> None:
    """A file of zeros on the source is one of zeros on a target that was full of something."""
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", source.path.stat().st_size)
    agent("restore", "pc", target).ok()
    part = Disk(target, 512, source.parts).extract(source.part(5), room / "part")
    sh("debugfs", "-R", f"dump /zeros {room}/zeros", part)
    assert (room / "zeros").read_bytes() == bytes(2 * MIB)


def test_file_system_without_a_table(agent: Agent, room: Path, tree: Path) -> None:
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(64 * MIB)
    make_ext("ext4")(source, 512, tree)
    with source.open("r+b") as file:
        file.write(b"boot code of some loader")
    saved = agent("backup", source, "--name", "pc").ok()
    assert saved["disks"][0]["partitions"][0]["content"] == "ext4"
    assert saved["read"] < 40 * MIB
    target = filled(room / "target", 64 * MIB)
    agent("restore", "pc", target).ok()
    same_ranges(source, target, used_ranges(source, "ext4"))
    check(target, "ext4", 512, tree)


def test_empty_disk(agent: Agent, room: Path) -> None:
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(40 * MIB)
    saved = agent("backup", source, "--name", "pc").ok()
    assert saved["stored"] < 10_000
    target = filled(room / "target", 40 * MIB)
    agent("restore", "pc", target).ok()
    assert hash_of(source) == hash_of(target)


def test_two_disks_in_one_image(golden: Golden, agent: Agent, room: Path, tree: Path) -> None:
    first, second = golden("mbr"), golden("small")
    agent("backup", first.path, second.path, "--name", "pc").ok()
    targets = [
        filled(room / f"target{index}", disk.path.stat().st_size)
        for index, disk in enumerate((first, second))
    ]
    # Named in the wrong order: the sizes tell which is which.
    result = agent("restore", "pc", *reversed(targets)).ok()
    assert [disk["device"] for disk in result["disks"]] == [str(path) for path in targets]
    for disk, target in zip((first, second), targets, strict=True):
        same_disk(disk, target, room, tree)


def test_larger_disk_gets_its_backup_gpt_at_its_end(
    golden: Golden, agent: Agent, room: Path, tree: Path
) -> None:
    source = golden("small")
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", source.path.stat().st_size + 50 * MIB)
    agent("restore", "pc", "--target", f"disk0={target}").ok()
    listing = sh("sfdisk", "--verify", target)
    assert "No errors detected" in listing, listing
    assert "The backup GPT table is corrupt" not in listing
    dumps = [sh("sfdisk", "--dump", path) for path in (source.path, target)]
    tables = [[line.partition(" : ")[2] for line in dump.splitlines()] for dump in dumps]
    assert tables[0] == tables[1]
    for part in source.parts:
        original = source.extract(part, room / "original")
        same_ranges(source.path, target, used_ranges(original, part.content), part.offset)
    assert agent("restore", "pc", "--target", f"disk0={target}").ok()["changed"] is False


def test_old_backup_gpt_does_not_survive_an_mbr_image(
    golden: Golden, agent: Agent, room: Path
) -> None:
    """Firmware and tools that look at the disk's end must not find the table of before."""
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = room / "target"
    with target.open("wb") as file:
        file.truncate(source.path.stat().st_size)
    sh("sfdisk", "-q", target, input="label: gpt\nsize=50M\n")
    agent("restore", "pc", target).ok()
    assert "gpt" not in sh("blkid", "-p", "-o", "export", target, ok=(0, 2))
    assert b"EFI PART" not in target.read_bytes()[-512:]
