# SPDX-License-Identifier: GPL-3.0-or-later
"""The used map of ext2, ext3 and ext4 is that of partclone, whatever the features."""

from pathlib import Path

import pytest
from slipway.engine.content.base import Decision
from slipway.engine.content.partclone import partclone_map
from slipway.engine.content.registry import open_volume, used_map

from .conftest import Agent
from .disk_builder import MIB, sh

SHAPES = {
    "ext2, 1 KiB": ("ext2", 64, "-b", "1024"),
    "ext2, superblock in every group": (
        "ext2",
        300,
        "-b",
        "1024",
        "-O",
        "^sparse_super,^resize_inode",
    ),
    "ext3": ("ext3", 200),
    "ext4": ("ext4", 200),
    "ext4, 1 KiB": ("ext4", 200, "-b", "1024"),
    "ext4, mostly uninitialised groups": ("ext4", 20_000),
    "ext4, old checksums": ("ext4", 4_000, "-O", "^metadata_csum,uninit_bg"),
    "ext4, no flexible groups": ("ext4", 4_000, "-O", "^flex_bg"),
    "ext4, meta groups": ("ext4", 4_000, "-O", "meta_bg,^resize_inode"),
    "ext4, two backup superblocks": ("ext4", 4_000, "-O", "sparse_super2,^resize_inode"),
    "ext4, 32 bit": ("ext4", 1_000, "-O", "^64bit"),
    "ext4, no journal, inline data": ("ext4", 1_000, "-O", "^has_journal,inline_data"),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_map_is_that_of_partclone(shape: tuple[str, int, str], room: Path, tree: Path) -> None:
    kind, size, *options = shape
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(size * MIB)
    sh(f"mkfs.{kind}", "-q", "-F", *options, "-d", tree, path)
    with open_volume("disk0:disk", path, 0, size * MIB, 512) as volume:
        ours = used_map(volume, Decision("used"))
        theirs = partclone_map("extfs", volume)
    assert ours == theirs


def test_file_system_that_is_smaller_than_its_partition(room: Path, tree: Path) -> None:
    """What lies behind it is saved, as it always was."""
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    sh("mkfs.ext4", "-q", "-F", "-d", tree, path, "40M")
    with open_volume("disk0:disk", path, 0, 64 * MIB, 512) as volume:
        ours = used_map(volume, Decision("used"))
        assert ours == partclone_map("extfs", volume)
    assert ours.within(40 * MIB, 64 * MIB) == [(40 * MIB, 64 * MIB)]


def test_file_system_that_is_larger_than_its_partition(room: Path, agent: Agent) -> None:
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    sh("mkfs.ext4", "-q", "-F", path)
    with path.open("r+b") as file:
        file.truncate(48 * MIB)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "its partition has" in error["message"]


def test_bitmaps_that_do_not_add_up(room: Path, agent: Agent) -> None:
    """A block that is in use and marked as free would be missing from the image."""
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    sh("mkfs.ext4", "-q", "-F", path)
    sh("debugfs", "-w", "-R", "freeb 1 20", path)
    sh("debugfs", "-w", "-R", "ssv free_blocks_count 3", path)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "its superblock says 3" in error["message"]
    assert not list((agent.store / "images").rglob("*.json"))
