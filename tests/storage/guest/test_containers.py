# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that need device-mapper or RAID in the kernel."""

import shutil
from pathlib import Path

import pytest

from ..conftest import Agent
from ..containers import PASSPHRASE, active, group_of, luks_format, lvm, make_luks
from ..disk_builder import MIB, attached, contents, filled, mounted, same_ranges, sh, sha256
from ..raid import METADATA


def disk(path: Path, mebibytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(mebibytes * MIB)
    return path


def round_trip(agent: Agent, source: Path) -> tuple[str, Path]:
    """Save and restore; why it was saved like that, and the target."""
    before = sha256(source)
    [part] = agent("probe", source).ok()["disks"][0]["partitions"]
    agent("backup", source, "--name", "pc").ok()
    assert sha256(source) == before
    target = filled(source.with_name("target"), source.stat().st_size)
    agent("restore", "pc", target).ok()
    # Both would be one volume group to LVM.
    source.unlink()
    return part["reason"], target


def files(volume: Path) -> dict[str, str]:
    sh("e2fsck", "-fn", volume)
    with mounted(volume, "-o", "ro") as point:
        return contents(point)


def linked(volume: Path, room: Path) -> Path:
    link = room / volume.name
    link.unlink(missing_ok=True)
    link.symlink_to(volume)
    return link


@pytest.mark.slow
def test_origin_of_a_snapshot(agent: Agent, room: Path, tree: Path) -> None:
    """The snapshot reads blocks of its origin that are free there by now."""
    source = disk(room / "source", 64)
    group = group_of(source)
    with attached(source) as device:
        lvm(device, "vgcreate", "-s", "1M", group, device, kernel=True)
        lvm(device, "lvcreate", "-y", "-n", "root", "-l", 30, group, kernel=True)
        volume = linked(Path("/dev", group, "root"), room)
        sh("mkfs.ext4", "-q", "-F", "-d", tree, volume)
        lvm(device, "lvcreate", "-y", "-s", "-n", "old", "-l", 12, f"{group}/root", kernel=True)
        with mounted(volume) as point:
            shutil.rmtree(point / "folder1")
            (point / "random").unlink()
        lvm(device, "vgchange", "-an", group, kernel=True)
    with active(source) as volumes:
        before = {name: files(linked(volumes[name], room)) for name in ("root", "old")}
    assert before["root"] != before["old"]
    reason, target = round_trip(agent, source)
    assert "root: whole, a snapshot" in reason
    with active(target) as volumes:
        after = {name: files(linked(volumes[name], room)) for name in ("root", "old")}
    assert after == before


@pytest.mark.slow
def test_thin_pool(agent: Agent, room: Path, tree: Path) -> None:
    source = disk(room / "source", 72)
    group = group_of(source)
    with attached(source) as device:
        lvm(device, "vgcreate", "-s", "1M", group, device, kernel=True)
        pool = ("--type", "thin-pool", "-n", "pool", "-l", 40, "--poolmetadatasize", "4M")
        lvm(device, "lvcreate", "-y", *pool, group, kernel=True)
        thin = ("-V", "80M", "--thinpool", "pool", "-n", "thin")
        lvm(device, "lvcreate", "-y", *thin, group, kernel=True)
        volume = linked(Path("/dev", group, "thin"), room)
        sh("mkfs.ext4", "-q", "-F", "-d", tree, volume)
        lvm(device, "vgchange", "-an", group, kernel=True)
    with active(source) as volumes:
        before = files(linked(volumes["thin"], room))
    reason, target = round_trip(agent, source)
    assert "pool_tdata: whole" in reason
    with active(target) as volumes:
        assert files(linked(volumes["thin"], room)) == before


@pytest.mark.slow
def test_striped_over_two_disks(agent: Agent, room: Path, tree: Path) -> None:
    sources = [disk(room / name, 40 + number) for number, name in enumerate(("one", "two"))]
    group = group_of(sources[0])

    def together(paths: list[Path], *command: object) -> None:
        with attached(paths[0]) as one, attached(paths[1]) as two:
            both = f"{one},{two}"
            sh("lvm", "vgchange", "-ay", "--devices", both, group)
            try:
                sh(*command)
            finally:
                sh("lvm", "vgchange", "-an", "--devices", both, group)

    with attached(sources[0]) as one, attached(sources[1]) as two:
        both = f"{one},{two}"
        sh("lvm", "vgcreate", "-s", "1M", "--devices", both, group, one, two)
        striped = ("-an", "-Zn", "-Wn", "-i", 2, "-l", 40, "-n", "data")
        sh("lvm", "lvcreate", "-y", *striped, "--devices", both, group)
    together(sources, "mkfs.ext4", "-q", "-F", "-d", tree, f"/dev/{group}/data")
    previews = agent("probe", *sources).ok()["disks"]
    assert "striped over several" in previews[0]["partitions"][0]["reason"]
    agent("backup", *sources, "--name", "pc").ok()
    targets = [filled(room / f"target{each.name}", each.stat().st_size) for each in sources]
    agent("restore", "pc", *targets).ok()
    for each in sources:
        each.unlink()
    together(targets, "e2fsck", "-fn", f"/dev/{group}/data")


@pytest.mark.slow
@pytest.mark.parametrize("metadata", METADATA)
def test_members_of_linux_raid_are_left_alone(metadata: str, agent: Agent, room: Path) -> None:
    path = disk(room / "member", 32)
    sh("modprobe", "-a", "md-mod", "raid1")
    with attached(path) as device:
        sh(
            "mdadm",
            "--create",
            "/dev/md7",
            "--run",
            "--level=1",
            "--raid-devices=2",
            f"--metadata={metadata}",
            device,
            "missing",
        )
        # What the array shows begins with a table, at the very start for 0.90 and 1.0.
        sh("sfdisk", "-q", "/dev/md7", input="label: dos\nsize=8M\n")
        sh("udevadm", "settle")
        sh("mdadm", "--stop", "/dev/md7")
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "member of a RAID array" in error["message"]
    assert "--whole disk0:disk" in error["remedy"]
    agent("backup", path, "--name", "pc", "--whole", "disk0:disk").ok()
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    assert sha256(target) == sha256(path)


@pytest.mark.slow
def test_wrong_passphrase(agent: Agent, room: Path) -> None:
    path = disk(room / "luks", 20)
    luks_format(path)
    (room / "key").write_bytes(b"something else\n")
    error = agent("backup", path, "--name", "pc", "--luks-key", f"disk={room}/key").failed("usage")
    assert "passphrase does not open" in error["message"]
    assert agent("list").ok()["images"] == []
    assert sh("dmsetup", "ls").strip() == "No devices found"


def test_passphrase_is_kept_nowhere(agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room / "luks", 48)
    make_luks()(path, 512, tree)
    (room / "key").write_bytes(PASSPHRASE)
    outcome = agent("backup", path, "--name", "pc", "--luks-key", f"disk={room}/key", "--debug")
    outcome.ok()
    assert "cryptsetup open" in outcome.stderr
    assert PASSPHRASE.decode() not in outcome.stderr + str(outcome.records)
    for manifest in agent.store.rglob("*.json"):
        assert PASSPHRASE not in manifest.read_bytes()
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(path, target, [(0, MIB)])
    assert sh("dmsetup", "ls").strip() == "No devices found"
