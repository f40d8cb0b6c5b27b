# SPDX-License-Identifier: GPL-3.0-or-later
"""A larger disk: what lies behind a growing partition moves to the end, when that is asked for."""

from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MAKERS, MIB, Disk, attached, disk_with, filled, sh
from .places import lines, place_in_boot_sector, same_files, set_place, untouched, warnings

pytestmark = pytest.mark.storage

ESP, RECOVERY = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"
MSR, DATA = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
WINDOWS = (
    f"label: gpt\nstart=1MiB, size=36MiB, type={ESP}, name=EFI\n"
    f"start=37MiB, size=3MiB, type={MSR}, attrs=RequiredPartition\n"
    f"start=40MiB, size=100MiB, type={DATA}, name=Basic\n"
    f"start=140MiB, size=30MiB, type={RECOVERY}, attrs=RequiredPartition\n"
)
MBR = "label: dos\nstart=1MiB, size=139MiB, type=7, bootable\nstart=140MiB, size=30MiB, type=27\n"


def windows(room: Path, script: str, tree: Path, sector: int = 512) -> Disk:
    drive, recovery = (1, 2) if script == MBR else (3, 4)
    makers = {drive: MAKERS["ntfs"], recovery: MAKERS["ntfs"]}
    if script == WINDOWS:
        makers[1] = MAKERS["ext2"]
    source = disk_with(room, script, 180 * MIB, makers, tree, sector)
    set_place(source, drive)
    set_place(source, recovery)
    return source


@pytest.mark.parametrize(
    ("script", "sector", "how"),
    [
        (WINDOWS, 512, ("--move", "last")),
        (WINDOWS, 4096, ("--move", "disk0:3")),
        (WINDOWS, 512, ("--grow", "last", "--move", "last")),
        (MBR, 512, ("--move", "last")),
    ],
)
def test_drive_c_takes_the_disk(
    script: str, sector: int, how: tuple[str, ...], agent: Agent, room: Path, tree: Path
) -> None:
    """The recovery partition stands at the new end; types, names, ids and attributes stay."""
    source = windows(room, script, tree, sector)
    drive, recovery = (0, 1) if script == MBR else (2, 3)
    with attached(source.path, sector) as device:
        agent("backup", device, "--name", "pc").ok()
    target = filled(room / "target", 300 * MIB)
    with attached(target, sector) as device:
        restore = ("restore", "pc", "--target", f"disk0={device}", *how)
        assert agent(*restore, "--dry-run").ok()["changed"] is True
        assert untouched(target)
        outcome = agent(*restore)
        outcome.ok()
        assert f"disk0:{recovery + 1}: moves to byte" in " ".join(warnings(outcome))
        assert "No errors detected" in sh("sfdisk", "--verify", device)
        if script == WINDOWS:
            assert "No problems found" in sh("sgdisk", "-v", device)
    before, after = lines(source.path, sector), lines(target, sector)
    for old, new in zip(before, after, strict=True):
        assert {**old, "start": "", "size": ""} == {**new, "start": "", "size": ""}
    assert after[:drive] == before[:drive]
    assert after[drive]["start"] == before[drive]["start"]
    end = int(after[recovery]["start"]) + int(after[recovery]["size"])
    assert 298 * MIB <= end <= 300 * MIB
    assert after[recovery]["size"] == before[recovery]["size"]
    assert int(after[drive]["start"]) + int(after[drive]["size"]) == int(after[recovery]["start"])
    for index in (drive, recovery):
        same_files(source.path, target, index + 1, "ntfs", room, tree, sector)
        start = int(after[index]["start"])
        assert place_in_boot_sector(target, start) == start // sector
    with attached(target, sector) as device:
        restore = ("restore", "pc", "--target", f"disk0={device}", *how)
        agent(*restore).ok()
    assert lines(target, sector) == after
    same_files(source.path, target, drive + 1, "ntfs", room, tree, sector)


@pytest.mark.parametrize("script", [WINDOWS, MBR])
def test_last_is_the_last_that_people_use(
    script: str, agent: Agent, room: Path, tree: Path
) -> None:
    source = windows(room, script, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 300 * MIB)
    drive = 1 if script == MBR else 3
    error = agent("restore", "pc", "--target", f"disk0={target}", "--grow", "last")
    said = error.failed("target_refused")
    assert f"disk0:{drive} of the image can't grow" in said["message"]
    assert f"disk0:{drive + 1}" in said["message"]
    assert f"--move disk0:{drive}" in said["remedy"]
    assert untouched(target)


@pytest.mark.parametrize(
    ("label", "type"),
    [
        ("gpt", ESP),
        ("gpt", MSR),
        ("gpt", "21686148-6449-6E6F-744E-656564454649"),
        ("gpt", "BFBFAFE7-A34F-448A-9A5B-6213EB736C22"),
        ("dos", "ef"),
        ("dos", "12"),
        ("dos", "de"),
    ],
)
def test_space_before_a_service_partition_is_taken_without_moving_it(
    label: str, type: str, agent: Agent, room: Path, tree: Path
) -> None:
    script = f"label: {label}\nstart=1MiB, size=60MiB\nstart=80MiB, size=10MiB, type={type}\n"
    source = disk_with(room, script, 100 * MIB, {1: MAKERS["ext4"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 120 * MIB)
    agent("restore", "pc", "--target", f"disk0={target}", "--grow", "last").ok()
    first, second = lines(target)
    assert (int(first["start"]), int(first["size"])) == (MIB, 79 * MIB)
    assert second == lines(source.path)[1]
    same_files(source.path, target, 1, "ext4", room, tree)


def test_a_swap_space_moves_behind_the_system(agent: Agent, room: Path, tree: Path) -> None:
    script = "label: gpt\nstart=1MiB, size=60MiB, name=root\nstart=61MiB, size=20MiB, type=S\n"
    source = disk_with(room, script, 90 * MIB, {1: MAKERS["ext4"], 2: MAKERS["swap"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 140 * MIB)
    agent("restore", "pc", "--target", f"disk0={target}", "--move", "disk0:1").ok()
    first, second = lines(target)
    assert int(first["size"]) == int(second["start"]) - MIB > 100 * MIB
    assert int(second["size"]) == 20 * MIB
    same_files(source.path, target, 1, "ext4", room, tree)


@pytest.mark.parametrize(
    ("script", "grows"),
    [
        (
            "label: dos\nstart=1MiB, size=39MiB\nstart=41MiB, size=50MiB, type=5\n"
            "start=42MiB, size=20MiB\nstart=63MiB, size=20MiB\n",
            1,
        ),
        (
            "label: dos\nstart=90MiB, size=8MiB\nstart=1MiB, size=80MiB, type=5\n"
            "start=2MiB, size=40MiB\nstart=43MiB, size=30MiB\n",
            5,
        ),
        (
            "label: dos\nstart=90MiB, size=8MiB\nstart=1MiB, size=80MiB, type=5\n"
            "start=2MiB, size=30MiB\nstart=43MiB, size=30MiB\n",
            6,
        ),
    ],
    ids=["in front of them", "the first of them", "the last of them"],
)
def test_logical_partitions_move(
    script: str, grows: int, agent: Agent, room: Path, tree: Path
) -> None:
    makers = dict.fromkeys((1, 5, 6), MAKERS["ext2"]) | {grows: MAKERS["ext4"]}
    source = disk_with(room, script, 100 * MIB, makers, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 140 * MIB)
    restore = ("restore", "pc", "--target", f"disk0={target}", "--move", f"disk0:{grows}")
    agent(*restore).ok()
    assert "No errors detected" in sh("sfdisk", "--verify", target)
    before, after = lines(source.path), lines(target)
    for index, number in enumerate((1, 2, 5, 6)):
        old, new = before[index], after[index]
        if number == grows:
            assert int(new["size"]) - int(old["size"]) >= 39 * MIB
        elif number != 2:
            assert new["size"] == old["size"]
        if number != 2:
            kind = "ext4" if number == grows else "ext2"
            same_files(source.path, target, index + 1, kind, room, tree)
    assert max(int(each["start"]) + int(each["size"]) for each in after) > 138 * MIB
    agent(*restore).ok()
    assert lines(target) == after


def test_btrfs_grows_to_no_size_that_its_kernel_refuses(
    agent: Agent, room: Path, tree: Path
) -> None:
    script = "label: gpt\nstart=1MiB, size=160MiB\n"
    source = disk_with(room, script, 164 * MIB, {1: MAKERS["btrfs"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 250 * MIB)
    error = agent("restore", "pc", "--target", f"disk0={target}", "--grow", "last")
    assert f"below {256 * MIB}" in error.failed("target_refused")["message"]
    assert untouched(target)


def test_an_empty_extended_partition_stands_in_the_way(
    agent: Agent, room: Path, tree: Path
) -> None:
    script = "label: dos\nstart=1MiB, size=40MiB\nstart=41MiB, size=50MiB, type=5\n"
    source = disk_with(room, script, 100 * MIB, {1: MAKERS["ext4"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", 140 * MIB)
    for option in ("--grow", "--move"):
        restore = ("restore", "pc", "--target", f"disk0={target}", option, "last")
        error = agent(*restore).failed("target_refused")
        assert "an extended partition" in error["message"]
        assert untouched(target)


def test_to_move_is_a_change_of_the_table(agent: Agent, room: Path, tree: Path) -> None:
    source = windows(room, WINDOWS, tree)
    agent("backup", source.path, "--name", "pc").ok()
    options = ("--move", "last", "--partition", "disk0:3")
    agent("restore", "pc", source.path, *options).failed("usage")
