# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that are left alone, saved whole, or found by a mark that is easy to misread."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .containers import luks_format, make_linear, segments
from .disk_builder import MIB, Disk, attached, filled, same_ranges, sh
from .hashes import hash_of

Golden = Callable[[str], Disk]


def blank(path: Path, mebibytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(mebibytes * MIB)
    return path


def preview(agent: Agent, path: Path, *options: str) -> dict[str, str]:
    return dict(agent("probe", path, *options).ok()["disks"][0]["partitions"][0])


def test_firmware_raid_is_left_alone(golden: Golden, agent: Agent, room: Path) -> None:
    """The member of a mirror looks like a disk with a table of its own."""
    path = golden("mbr").copy(room / "disk").path
    with path.open("r+b") as file:
        file.seek(-1024, 2)
        file.write(b"Intel Raid ISM Cfg Sig. 1.1.00")
    assert "isw_raid_member" in sh("blkid", "-p", path)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "member of a RAID array" in error["message"]
    assert "--whole disk0:disk" in error["remedy"]
    agent("backup", path, "--name", "pc", "--whole", "disk0:disk").ok()
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    assert hash_of(target) == hash_of(path)


def test_vendors_hidden_partition_is_saved_whole(golden: Golden, agent: Agent, room: Path) -> None:
    disk = golden("mbr").copy(room / "disk")
    sh("sfdisk", "--part-type", disk.path, 7, "12")
    parts = agent("backup", disk.path, "--name", "pc").ok()["disks"][0]["partitions"]
    [hidden] = [part for part in parts if part["partition"] == "7"]
    assert (hidden["content"], hidden["method"]) == ("vfat", "whole")
    assert hidden["bytes_used"] == disk.part(7).size
    reasons = {
        p["partition"]: p["reason"]
        for p in agent("probe", disk.path).ok()["disks"][0]["partitions"]
    }
    assert "vendor" in reasons["7"]


def test_bitlocker_is_saved_whole(agent: Agent, room: Path) -> None:
    path = blank(room / "disk", 4)
    with path.open("r+b") as file:
        file.write(b"\xeb\x58\x90-FVE-FS-")
        file.seek(160)
        file.write(bytes.fromhex("3bd66749292ed84a8399f6a339e3d001"))
        file.write((65536).to_bytes(8, "little"))
        file.seek(65536)
        file.write(b"-FVE-FS-" + (64).to_bytes(2, "little") + (2).to_bytes(2, "little"))
    found = preview(agent, path)
    assert (found["content"], found["method"]) == ("BitLocker", "whole")
    assert "BitLocker" in found["reason"]


def test_luks_without_a_passphrase_says_why(agent: Agent, room: Path) -> None:
    path = blank(room / "disk", 20)
    luks_format(path)
    found = preview(agent, path)
    assert (found["content"], found["method"]) == ("crypto_LUKS", "whole")
    assert "no passphrase" in found["reason"]


@pytest.mark.parametrize(
    "word", ["correct horse", "=", "disk=", "disk=/no/such/file", "7=/dev/null"]
)
def test_luks_key_that_names_no_file(word: str, agent: Agent, room: Path) -> None:
    path = blank(room / "disk", 20)
    luks_format(path)
    error = agent("backup", path, "--name", "pc", "--luks-key", word).failed("usage")
    assert "correct horse" not in error["message"] + error["remedy"]


def test_dirty_file_system_in_a_logical_volume(agent: Agent, room: Path, tree: Path) -> None:
    path = blank(room / "disk", 48)
    make_linear(pieces=False)(path, 512, tree)
    [start] = [start for name, start, _ in segments(path) if name == "root"]
    with attached(path, offset=start) as device:
        sh("debugfs", "-w", "-R", "set_super_value state 2", device)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "disk0:disk, root (ext4) is marked as not clean" in error["message"]
    assert "--whole disk0:disk" in error["remedy"]
    [part] = agent("backup", path, "--name", "pc", "--unclean", "whole").ok()["disks"][0][
        "partitions"
    ]
    assert (
        "root: ext4 whole (it is marked as not clean)"
        in preview(agent, path, "--unclean", "whole")["reason"]
    )
    # That volume has 20 MiB, and what is free beside it is left out.
    assert (part["method"], 20 * MIB < part["bytes_used"] < 30 * MIB) == ("used", True)
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(path, target, [(start, start + 20 * MIB)])


def test_physical_volume_without_a_group(agent: Agent, room: Path) -> None:
    path = blank(room / "disk", 20)
    with attached(path) as device:
        sh("lvm", "pvcreate", "--devices", device, device)
    found = preview(agent, path)
    assert (found["content"], found["method"]) == ("LVM2_member", "whole")
    assert "no volume group" in found["reason"]
