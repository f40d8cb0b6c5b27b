# SPDX-License-Identifier: GPL-3.0-or-later
"""A version's partition mounted by the kernel: read-only, for root, and gone again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import Disk, contents, sh
from .exporting import Exporter

# What they leave behind is looked for in folders that all exports of a machine share.
pytestmark = pytest.mark.xdist_group("export")


def test_a_partition_is_mounted_read_only_and_taken_back(
    golden: Callable[[str], Disk], agent: Agent, room: Path, tree: Path
) -> None:
    agent("backup", golden("small").path, "--name", "pc").ok()
    exporter = Exporter(agent.store)
    words = ("mount", "--image", "pc", "--partition", "disk0:1")
    first = exporter(*words)
    point = Path(first["point"])
    try:
        assert first["changed"] is True
        assert exporter(*words) == first | {"changed": False}
        found = contents(point)
        assert {name: found.get(name) for name in contents(tree)} == contents(tree)
        options = sh("findmnt", "-n", "-o", "OPTIONS", point).split(",")
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(options)
        assert point.parent.stat().st_mode & 0o077 == 0
        other = exporter.refused("mount", "--image", "pc", "--partition", "disk0:2", "--to", point)
        assert "has disk0:1" in other
    finally:
        taken = exporter.anywhere("unmount", "--to", point)
    assert taken["changed"] is True
    assert exporter.anywhere("unmount", "--to", point)["changed"] is False
    assert not point.exists()
    assert list(Path("/run/slipway-mounts.d").iterdir()) == []
    assert "slipway-mounts" not in Path("/proc/mounts").read_text()
    running = sh("ps", "-eo", "args")
    assert "slipway-mounts" not in running


def test_what_can_t_be_mounted_leaves_nothing(
    golden: Callable[[str], Disk], agent: Agent, room: Path
) -> None:
    agent("backup", golden("mbr").path, "--name", "pc").ok()
    exporter = Exporter(agent.store)
    for partition, said in (("disk0:6", "mount"), ("disk0:9", "has no disk0:9"), ("", "has no")):
        assert said in exporter.refused("mount", "--image", "pc", "--partition", partition)
    (room / "full").mkdir()
    (room / "full/file").touch()
    words = ("mount", "--image", "pc", "--partition", "disk0:1", "--to", room / "full")
    assert "in use" in exporter.refused(*words)
    assert list(Path("/run/slipway-mounts.d").iterdir()) == []
    assert "slipway-mounts" not in sh("ps", "-eo", "args")
