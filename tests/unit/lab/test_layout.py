# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions lie where arithmetic says, and sfdisk agrees."""

import json
import subprocess
from pathlib import Path

import pytest
from slipway_lab.config import Config, Disk, Partition
from slipway_lab.errors import LabError
from slipway_lab.layout import MIB, PER_MIB, Placed, place, sfdisk_script


def written(disk: Disk, placed: tuple[Placed, ...], file: Path, disk_id: str) -> dict[int, dict]:
    """Let sfdisk write the table and read it back, by partition number."""
    file.write_bytes(b"")
    with file.open("r+b") as image:
        image.truncate(disk.size_mib * MIB)
    script = sfdisk_script(disk, placed, disk_id)
    subprocess.run(["sfdisk", "--quiet", file], input=script, text=True, check=True)
    text = subprocess.run(["sfdisk", "--json", file], capture_output=True, check=True).stdout
    table = json.loads(text)["partitiontable"]
    return {int(p["node"].removeprefix(str(file))): p for p in table["partitions"]}


def test_mbr_with_logical_partitions(lab: Config, tmp_path: Path) -> None:
    disk = lab.machine("old").disk
    placed = place(disk)
    assert [p.number for p in placed] == [1, 5, 6]
    assert placed[1].start == placed[0].start + placed[0].sectors + PER_MIB
    assert placed[-1].start + placed[-1].sectors == disk.size_mib * PER_MIB
    found = written(disk, placed, tmp_path / "disk", "0x12345678")
    assert sorted(found) == [1, 2, 5, 6]
    assert found[1]["bootable"]
    assert found[2]["type"] == "5"
    for part in placed:
        assert (found[part.number]["start"], found[part.number]["size"]) == (
            part.start,
            part.sectors,
        )


def test_gpt_leaves_room_for_the_backup_table(lab: Config, tmp_path: Path) -> None:
    disk = lab.machine("new").disk
    placed = place(disk)
    assert placed[-1].start + placed[-1].sectors == (disk.size_mib - 1) * PER_MIB
    found = written(disk, placed, tmp_path / "disk", "c7b0f9b2-0f5e-4c50-93a4-0a8ad0ea4f0b")
    assert found[1]["type"].startswith("C12A7328")
    assert found[2]["name"] == "root"
    assert [found[p.number]["start"] for p in placed] == [p.start for p in placed]


def test_a_partition_that_does_not_fit_is_refused() -> None:
    root = Partition("ext4", 100, "/")
    with pytest.raises(LabError, match="Partition 1 does not fit on a disk of 64 MiB"):
        place(Disk(64, "gpt", "S", None, (root,)))


def test_four_primary_partitions_are_refused() -> None:
    parts = tuple(Partition("ext4", 4, f"/{n}") for n in range(4))
    with pytest.raises(LabError, match="at most three primary"):
        place(Disk(64, "mbr", "S", None, parts))
