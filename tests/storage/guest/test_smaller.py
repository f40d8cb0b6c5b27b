# SPDX-License-Identifier: GPL-3.0-or-later
"""A smaller disk, with the environment's own kernel, programs and FUSE."""

from pathlib import Path

import pytest

from ..conftest import Agent
from ..disk_builder import MAKERS, MIB, attached, disk_with, filled, sh
from ..places import ROOM, lines, same_files, spread

SCRIPT = "label: gpt\nstart=1MiB, size=360MiB\nstart=361MiB, size=30MiB\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "ntfs", "btrfs"])
def test_made_smaller(kind: str, agent: Agent, room: Path, tree: Path) -> None:
    source = disk_with(room, SCRIPT, 400 * MIB, {1: spread(kind), 2: MAKERS["ntfs"]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", ROOM.get(kind, 200 * MIB))
    restore = ("restore", "pc", "--target", f"disk0={target}")
    assert agent(*restore).ok()["changed"] is True
    assert "No errors detected" in sh("sfdisk", "--verify", target)
    if kind == "btrfs":
        # The kernel has seen it there, and would mount no twin.
        start, size = (int(lines(target)[0][key]) for key in ("start", "size"))
        with attached(target, 512, start, size) as part:
            sh("btrfs", "device", "scan", part)
            agent(*restore).ok()
        sh("btrfs", "device", "scan", "--forget")
    else:
        assert agent(*restore).ok()["changed"] is False
    for number, content in ((1, kind), (2, "ntfs")):
        same_files(source.path, target, number, content, room, tree)
        if kind == "btrfs":
            sh("btrfs", "device", "scan", "--forget")
