# SPDX-License-Identifier: GPL-3.0-or-later
"""The traps: contents that must be refused, saved whole, or mapped with care."""

import random
import shutil
import struct
from pathlib import Path

import pytest

from .conftest import Agent, Outcome
from .disk_builder import (
    MAKERS,
    MIB,
    attached,
    check,
    contents,
    device_link,
    filled,
    make_ext,
    mounted,
    same_ranges,
    sh,
    used_ranges,
)
from .failing_disk import FailingDisk, on_loop
from .hashes import hash_of
from .ntfs_builder import mark_bad, open_log

SIZES = {"xfs": 320, "btrfs": 160}


def make(room: Path, content: str, tree: Path, sector: int = 512) -> Path:
    """A disk that is one file system."""
    path = room / content
    with path.open("wb") as file:
        file.truncate(SIZES.get(content, 64) * MIB)
    MAKERS[content](path, sector, tree)
    return path


def method(result: Outcome) -> str:
    return str(result.ok()["disks"][0]["partitions"][0]["method"])


def refused(agent: Agent, path: Path, word: str) -> None:
    """A backup says why, publishes nothing, and saves all sectors when told to."""
    before = hash_of(path)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert word in error["message"]
    assert "--whole disk0:disk" in error["remedy"]
    assert agent("list").ok()["images"] == []
    preview = agent("probe", path).ok()["disks"][0]["partitions"][0]
    assert (preview["method"], word in preview["reason"]) == ("refused", True)
    assert method(agent("backup", path, "--name", "pc", "--whole", "disk0:disk")) == "whole"
    target = filled(path.with_name("target"), path.stat().st_size)
    agent("restore", "pc", target).ok()
    assert hash_of(target) == before == hash_of(path)


def crash_copy(path: Path, tree: Path, *, sector: int = 512) -> Path:
    """The file system as it lies on the disk when the power goes while it is in use."""
    copy = path.with_name("crashed")
    with attached(path, sector) as device, mounted(device_link(device, path)) as point:
        shutil.copytree(tree, point / "again")
        sh("sync", "-f", point)
        with (point / "late").open("wb") as late:
            late.write(b"x" * 5000)
            late.flush()
            sh("sync", point / "late")
        shutil.copyfile(path, copy)
    return copy


@pytest.mark.parametrize("content", ["ext4", "xfs", "btrfs"])
def test_journal_that_needs_recovery(content: str, agent: Agent, room: Path, tree: Path) -> None:
    path = crash_copy(make(room, content, tree), tree)
    refused(agent, path, "cleanly")


def test_external_journal(agent: Agent, room: Path, tree: Path) -> None:
    paths = [room / "journal", room / "ext4"]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(32 * MIB)
    with attached(paths[0]) as journal:
        sh("mkfs.ext4", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal)
        sh("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", f"device={journal}", paths[1])
    refused(agent, paths[1], "journal")


def test_ext4_with_errors(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "ext4", tree)
    sh("debugfs", "-w", "-R", "set_super_value state 2", path)
    refused(agent, path, "not clean")


def test_reiserfs_that_is_not_clean(agent: Agent, room: Path) -> None:
    path = room / "reiserfs"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
    sh("mkreiserfs", "-q", "-f", "-f", path)
    with path.open("r+b") as file:
        # The super block's field that a mount sets and an unmount clears.
        file.seek(65536 + 50)
        file.write(b"\x02\x00")
    refused(agent, path, "cleanly")


def test_reiserfs_that_asks_for_a_check(agent: Agent, room: Path) -> None:
    path = room / "reiserfs"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
    sh("mkreiserfs", "-q", "-f", "-f", path)
    with path.open("r+b") as file:
        file.seek(65536 + 62)
        file.write(b"\x01\x00")
    refused(agent, path, "asks for a check")


@pytest.mark.parametrize("field", ["features_incompat 0x1b", "inprogress 1"])
def test_xfs_that_needs_a_repair(field: str, agent: Agent, room: Path) -> None:
    path = room / "xfs"
    with path.open("wb") as file:
        file.truncate(320 * MIB)
    sh("mkfs.xfs", "-q", path)
    sh("xfs_db", "-x", "-c", "sb 0", "-c", f"write -d {field}", path)
    refused(agent, path, "needs a repair")


def test_zeros_cost_no_more_than_two_chunks(agent: Agent, room: Path) -> None:
    """Partitions of unknown content are mostly zeros: a full cell of them, and the short last."""
    path = room / "zeros"
    with path.open("wb") as file:
        file.truncate(101 * MIB)
    saved = agent("backup", path, "--name", "pc", "--whole", "disk0:disk").ok()
    assert saved["cells"]["total"] > 50
    assert len(list((agent.store / "chunks").rglob("*"))) <= 3 * 3
    assert saved["stored"] < 2000


def test_hibernated_swap(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "swap", tree)
    with path.open("r+b") as file:
        file.seek(4086)
        file.write(b"S1SUSPEND\0")
    refused(agent, path, "hibernated")


def test_hibernated_windows(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "ntfs", tree)
    with mounted(path, "-t", "ntfs-3g") as point:
        (point / "hiberfil.sys").write_bytes(b"HIBR" + bytes(8192))
    refused(agent, path, "hibernated")


def test_dirty_windows(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "ntfs", tree)
    content = bytearray(path.read_bytes())
    # $VOLUME_INFORMATION: eight zero bytes, version 3.1, flags; in $MFT and in $MFTMirr.
    marks = bytes(8) + b"\x03\x01\x00\x00"
    places = [at for at in _find_all(content, marks) if content[at - 24 : at - 20] == b"\x70\0\0\0"]
    assert len(places) == 2
    for at in places:
        content[at + 10] = 1
    path.write_bytes(content)
    refused(agent, path, "not shut down")


def test_windows_with_an_open_log(agent: Agent, room: Path, tree: Path) -> None:
    """The volume's flags are clear: only $LogFile knows of changes that $Bitmap lacks."""
    path = make(room, "ntfs", tree)
    open_log(path)
    assert "Volume Flags: 0x0000" in sh("ntfsinfo", "-f", "-m", path)
    refused(agent, path, "$LogFile")


def test_bad_clusters_of_windows(agent: Agent, room: Path, tree: Path) -> None:
    source = make(room, "ntfs", tree)
    start, end = mark_bad(source, 16)
    assert "at least 16 bad sectors" in sh("ntfsresize", "-i", "-f", "-b", source)
    no_loss(agent, source, start, end)
    target = room / "target"
    assert "at least 16 bad sectors" in sh("ntfsresize", "-i", "-f", "-b", target)
    with mounted(target, "-t", "ntfs-3g", "-o", "ro") as point:
        assert contents(point / "tree") == contents(tree)


def _find_all(data: bytearray, wanted: bytes) -> list[int]:
    found, at = [], data.find(wanted)
    while at >= 0:
        found.append(at)
        at = data.find(wanted, at + 1)
    return found


def test_dirty_exfat(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "exfat", tree)
    with path.open("r+b") as file:
        file.seek(106)
        file.write(b"\x02")
    refused(agent, path, "dirty")


def test_bad_clusters_of_exfat(agent: Agent, room: Path) -> None:
    path = make(room, "exfat", room)
    text = bytearray(path.read_bytes())
    table, _, heap, count = struct.unpack_from("<IIII", text, 80)
    sector, cluster = 1 << text[108], 1 << text[108] + text[109]
    bad = range(count // 2, count // 2 + 8)
    for number in bad:
        struct.pack_into("<I", text, table * sector + 4 * number, 0xFFFFFFF7)
    # The allocation bitmap is the first thing in the heap. Bad clusters are in it, too.
    for number in bad:
        text[heap * sector + (number - 2) // 8] |= 1 << (number - 2) % 8
    path.write_bytes(text)
    begin = heap * sector + (bad.start - 2) * cluster
    no_loss(agent, path, begin, begin + 8 * cluster)


def test_bad_blocks_of_ext4(agent: Agent, room: Path, tree: Path) -> None:
    path = room / "ext4"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    (room / "bad").write_text("".join(f"{number}\n" for number in range(9000, 9008)))
    make_ext("ext4", "-b", "4096", "-l", str(room / "bad"))(path, 512, tree)
    assert "9007" in sh("dumpe2fs", "-b", path)
    no_loss(agent, path, 9000 * 4096, 9008 * 4096)
    check(path.with_name("target"), "ext4", 512, tree)


def no_loss(agent: Agent, source: Path, start: int, end: int) -> None:
    """Known bad places are not read: the version is not degraded. All else is used as before."""
    with FailingDisk(source, source.parent) as failing:
        failing.faults(bad=[(start, end)])
        with on_loop(failing.path) as device:
            saved = agent("backup", device, "--name", "pc").ok()
    assert (saved["degraded"], saved["unreadable"]) == (False, 0)
    target = filled(source.with_name("target"), source.stat().st_size)
    agent("restore", "pc", target).ok()
    used = used_ranges(source, source.name)
    same_ranges(source, target, [(a, min(b, start)) for a, b in used if a < start])
    same_ranges(source, target, [(max(a, end), b) for a, b in used if b > end])


def test_exfat_with_two_tables(agent: Agent, room: Path) -> None:
    path = make(room, "exfat", room)
    with path.open("r+b") as file:
        file.seek(110)
        file.write(b"\x02")
    assert method(agent("backup", path, "--name", "pc")) == "whole"


def f2fs(room: Path, *options: object) -> Path:
    path = room / "f2fs"
    with path.open("wb") as file:
        file.truncate(104 * MIB)
    sh("mkfs.f2fs", "-q", *options, path)
    return path


def checkpoint(path: Path, number: int, at: int, value: int) -> None:
    """Change a field of four bytes of a checkpoint."""
    with path.open("r+b") as file:
        file.seek(1024 + 76)
        [first] = struct.unpack("<I", file.read(4))
        file.seek((first + 512 * number) * 4096 + at)
        file.write(struct.pack("<I", value))


@pytest.mark.parametrize("flags", [0, 1 | 8, 1 | 16, 1 | 0x1000], ids=hex)
def test_f2fs_that_is_in_doubt(flags: int, agent: Agent, room: Path) -> None:
    path = f2fs(room)
    for number in (0, 1):
        checkpoint(path, number, 132, flags)
    refused(agent, path, "was not unmounted cleanly" if not flags else "asks for a check")


def test_f2fs_checkpoint_that_was_not_finished(agent: Agent, room: Path) -> None:
    """It looks like the newer one, but its end is of an older one: the other counts."""
    path = f2fs(room)
    checkpoint(path, 1, 0, 0xFFFFFFFF)
    checkpoint(path, 1, 132, 0)
    assert method(agent("backup", path, "--name", "pc")) == "used"


def test_f2fs_over_two_devices(agent: Agent, room: Path) -> None:
    second = room / "second"
    with second.open("wb") as file:
        file.truncate(104 * MIB)
    with attached(second) as device:
        path = f2fs(room, "-c", device)
    refused(agent, path, "several devices")


def hfsplus(path: Path, attributes: int, journal: tuple[int, int] = (512, 512)) -> Path:
    """As much of an HFS+ as decides how it is saved."""
    with path.open("wb") as file:
        file.truncate(16 * MIB)
        file.seek(1024)
        # The journal's place is in block 3, its header in block 4.
        file.write(struct.pack(">2sHI4sI", b"H+", 4, attributes, b"10.0", 3))
        file.seek(1024 + 40)
        file.write(struct.pack(">II", 4096, 4096))
        file.seek(3 * 4096)
        file.write(struct.pack(">I32xQQ", 1, 4 * 4096, 512 << 10))
        file.seek(4 * 4096)
        file.write(struct.pack("<4sIQQ", b"xLNJ", 0x12345678, *journal))
    return path


@pytest.mark.parametrize(
    ("attributes", "journal", "word"),
    [
        (0x2000, (512, 512), "cleanly"),
        (0x0000, (512, 512), "cleanly"),
        (0x2900, (512, 512), "cleanly"),
        (0x2100, (512, 1024), "journal is not empty"),
    ],
    ids=str,
)
def test_hfsplus_that_is_open(
    attributes: int, journal: tuple[int, int], word: str, agent: Agent, room: Path
) -> None:
    refused(agent, hfsplus(room / "hfsplus", attributes, journal), word)


def test_reiserfs_with_a_journal_elsewhere(agent: Agent, room: Path) -> None:
    path = room / "reiserfs"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
    sh("mkreiserfs", "-q", "-f", "-f", path)
    with path.open("r+b") as file:
        # The journal's device, in the super block.
        file.seek(65536 + 16)
        file.write(struct.pack("<I", 0x801))
    refused(agent, path, "journal on another device")


def test_btrfs_over_two_devices(agent: Agent, room: Path) -> None:
    paths = [room / "one", room / "two"]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(160 * MIB)
    with attached(paths[0]) as one, attached(paths[1]) as two:
        sh("mkfs.btrfs", "-q", "-d", "raid1", "-m", "raid1", one, two)
    refused(agent, paths[0], "several devices")


@pytest.mark.parametrize("through", ["device", "file"])
def test_mounted_disk(through: str, agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "ext4", tree)
    agent("backup", path, "--name", "pc").ok()
    before = agent("list").ok()["images"]
    # Read-only: a late write of the kernel's own would look like one of the backup's.
    with attached(path) as device, mounted(device_link(device, path), "-o", "ro"):
        disk = device if through == "device" else path
        error = agent("backup", disk, "--name", "pc").failed("source_refused")
        assert "in use" in error["message"]
        error = agent("restore", "pc", disk).failed("target_refused")
        assert "in use" in error["message"]
    assert agent("list").ok()["images"] == before


def test_ntfs_backup_boot_sector(agent: Agent, room: Path, tree: Path) -> None:
    """It lies behind the last cluster, where partclone's map does not reach."""
    path = make(room, "ntfs", tree)
    assert method(agent("backup", path, "--name", "pc")) == "used"
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    for disk in (path, target):
        content = disk.read_bytes()
        assert content[-512:] == content[:512]
        assert content[3:7] == b"NTFS"


@pytest.mark.parametrize("odd", [512, 3 * 512, 7 * 4096 + 512])
@pytest.mark.parametrize("content", ["ext4", "btrfs", "ntfs", "fat16"])
def test_partition_of_an_odd_size(
    content: str, odd: int, agent: Agent, room: Path, tree: Path
) -> None:
    path = room / content
    with path.open("wb") as file:
        file.truncate(SIZES.get(content, 40) * MIB + odd)
    MAKERS[content](path, 512, tree)
    assert method(agent("backup", path, "--name", "pc")) == "used"
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(path, target, used_ranges(path, content))
    check(target, content, 512, tree)


@pytest.mark.parametrize("block", [1024, 2048, 4096])
@pytest.mark.parametrize("features", ["^64bit,^metadata_csum", "inline_data", "^has_journal"])
def test_ext4_features(features: str, block: int, agent: Agent, room: Path, tree: Path) -> None:
    path = room / "ext4"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
    make_ext("ext4", "-b", str(block), "-O", features)(path, 512, tree)
    agent("backup", path, "--name", "pc").ok()
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(path, target, used_ranges(path, "ext4"))
    check(target, "ext4", 512, tree)


@pytest.mark.parametrize("content", ["ext4", "xfs", "btrfs", "ntfs"])
def test_fragmented_file_system(content: str, agent: Agent, room: Path, tree: Path) -> None:
    """Many small files, every other one deleted: the used map has many runs."""
    path = make(room, content, tree)
    chance = random.Random(11)
    options = ("-t", "ntfs-3g") if content == "ntfs" else ()
    with attached(path) as device, mounted(device_link(device, path), *options) as point:
        for number in range(1500):
            (point / f"f{number}").write_bytes(chance.randbytes(chance.randrange(1, 20_000)))
        sh("sync", "-f", point)
        for number in range(0, 1500, 2):
            (point / f"f{number}").unlink()
        if content != "ntfs":
            sh("sync", "-f", point)
        kept = {file.name: hash_of(file) for file in point.glob("f*") if file.is_file()}
    agent("backup", path, "--name", "pc").ok()
    target = filled(room / "target", path.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(path, target, used_ranges(path, content))
    check(target, content, 512, tree)
    with attached(target) as device, mounted(device_link(device, target), *options) as point:
        assert {file.name: hash_of(file) for file in point.glob("f*") if file.is_file()} == kept


def test_missing_program_is_named(
    agent: Agent, room: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(room, "xfs", tree)
    tools = room / "bin"
    tools.mkdir()
    for name in ("blkid", "lsblk", "sfdisk"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tools))
    error = agent("backup", path, "--name", "pc").failed("tool_failed")
    assert "xfsprogs" in error["remedy"]


def test_whole_has_to_name_a_partition(agent: Agent, room: Path, tree: Path) -> None:
    path = make(room, "ext4", tree)
    agent("backup", path, "--name", "pc", "--whole", "disk0:7").failed("usage")
