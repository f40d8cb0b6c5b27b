# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition's type comes before what is seen in it; hashes, and volumes on several disks."""

import random
import struct
from pathlib import Path
from uuid import UUID

import pytest

from .conftest import Agent
from .disk_builder import MIB, attached, filled, make_ext, make_ntfs, sh
from .hashes import hash_of

LDM_DATABASE = "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"
LDM_DATA = "AF9B60A0-1431-4F62-BC68-3311714A69AD"
MSR = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
ROOT, ROOT_HASHES = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"
USR, USR_HASHES = "8484680C-9521-48C6-9C11-B0720656F69E", "77FF5F63-E7B6-4633-ACF4-1565B864C0E6"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def partitioned(path: Path, label: str, *parts: tuple[str, int]) -> Path:
    """A disk with partitions of these types and MiB."""
    with path.open("wb") as file:
        file.truncate((sum(size for _, size in parts) + 4) * MIB)
    lines = [f"label: {label}", *(f"size={size}M, type={kind}" for kind, size in parts)]
    sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", path, input="\n".join(lines))
    return path


def paste(path: Path, content: Path, at: int) -> None:
    sh(
        "dd",
        f"if={content}",
        f"of={path}",
        "bs=1M",
        f"seek={at}",
        "conv=notrunc,sparse",
        "status=none",
    )
    content.unlink()


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size * MIB)
    return path


def previews(agent: Agent, *paths: Path) -> list[dict[str, str]]:
    return [each for disk in agent("probe", *paths).ok()["disks"] for each in disk["partitions"]]


def same_after_restore(agent: Agent, room: Path, *sources: Path) -> list[Path]:
    """Every sector comes back; all of these disks are saved whole."""
    agent("backup", *sources, "--name", "pc").ok()
    targets = [filled(room / f"{each.name}.target", each.stat().st_size) for each in sources]
    agent("restore", "pc", *targets).ok()
    for source, target in zip(sources, targets, strict=True):
        assert hash_of(target) == hash_of(source)
    return targets


@pytest.mark.parametrize(
    ("label", "kind"),
    [("dos", "42"), ("gpt", LDM_DATA)],
    ids=["MBR", "GPT"],
)
def test_dynamic_disk(label: str, kind: str, agent: Agent, room: Path, tree: Path) -> None:
    """The first volume looks like the partition's content; the second lies behind it."""
    disk = partitioned(room / "disk", label, (kind, 60))
    for at, size in ((1, 24), (25, 30)):
        make_ntfs(blank(room / "volume", size), 512, tree)
        paste(disk, room / "volume", at)
    [preview] = previews(agent, disk)
    assert (preview["content"], preview["method"]) == ("ntfs", "whole")
    assert "dynamic disk" in preview["reason"]
    [target] = same_after_restore(agent, room, disk)
    with attached(target, offset=25 * MIB, size=30 * MIB) as device:
        sh("ntfsresize", "--info", "--force", "--no-progress-bar", device)


def record(kind: int, number: int, name: str, disk: UUID) -> bytes:
    """A record of a disk in the database of dynamic disks."""
    text = str(disk).encode()
    known = bytes([len(text)]) + text if kind == 0x34 else disk.bytes
    data = bytes([1, number, len(name)]) + name.encode() + known
    head = struct.pack(">4sIIHHHBBI", b"VBLK", number, number, 0, 1, 0, 0, kind, len(data))
    return (head + data).ljust(128, b"\0")


def header(disk: UUID) -> bytes:
    text = bytearray(512)
    text[:8] = b"PRIVHEAD"
    text[0x30:0x54] = str(disk).encode()
    text[0xF0:0xF8] = b"office-0"
    return bytes(text)


@pytest.mark.parametrize("kind", [0x34, 0x44], ids=["text", "bytes"])
@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_group_of_dynamic_disks(label: str, kind: int, agent: Agent, room: Path) -> None:
    """Volumes may be spanned or striped over its disks."""
    ids = [UUID(int=7 << 64 | number) for number in (1, 2)]
    database = b"".join(record(kind, n, f"Disk{n}", each) for n, each in enumerate(ids, 1))
    paths = []
    for number, own in enumerate(ids):
        path = room / f"disk{number}"
        if label == "dos":
            partitioned(path, "dos", ("42", 20 + number))
            place = path.stat().st_size - MIB
        else:
            partitioned(path, "gpt", (LDM_DATABASE, 1), (LDM_DATA, 20 + number))
            place = MIB
        with path.open("r+b") as file:
            file.seek(6 * 512 if label == "dos" else 2 * MIB - 512)
            file.write(header(own))
            file.seek(place + 17 * 512)
            file.write(database)
            file.seek(5 * MIB)
            file.write(random.Random(number).randbytes(3 * MIB))
        paths.append(path)
    for path, other in zip(paths, ("Disk2", "Disk1"), strict=True):
        error = agent("backup", path, "--name", "pc").failed("source_refused")
        data = 1 if label == "dos" else 2
        for word in (f"disk0:{data}", "disk group office-0", other):
            assert word in error["message"]
        assert previews(agent, path)[-1]["reason"] == error["message"]
        agent("backup", path, "--name", "pc", "--whole", f"disk0:{data}").ok()
    assert {each["method"] for each in previews(agent, *paths)} == {"whole"}
    same_after_restore(agent, room, *paths)


@pytest.mark.parametrize(
    ("label", "kind", "word", "left_over"),
    [
        ("gpt", MSR, "reserved", "ext4"),
        ("gpt", MSR, "reserved", "raid"),
        ("gpt", "21686148-6449-6E6F-744E-656564454649", "boot code", "raid"),
        ("gpt", "9E1A2D38-C612-4316-AA26-8B49521E5A8B", "boot code", "ext4"),
        ("dos", "41", "boot code", "ext4"),
        ("gpt", "D3BFE2DE-3DAF-11DF-BA40-E3A556D89593", "memory", "mapped"),
        ("dos", "84", "memory", "raid"),
        ("gpt", "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D", "pool", "mapped"),
        ("gpt", "53746F72-6167-11AA-AA11-00306543ECAC", "pool", "ext4"),
        ("gpt", "FE3A2A5D-4F32-41A7-B725-ACCC3285A309", "boot code", "mapped"),
        ("gpt", "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC", "verified", "mapped"),
    ],
    ids=str,
)
def test_what_is_left_over_does_not_count(
    label: str, kind: str, word: str, left_over: str, agent: Agent, room: Path, tree: Path
) -> None:
    """An old file system, of which nobody knows its state, refuses nothing."""
    disk = partitioned(room / "disk", label, (kind, 24))
    content = blank(room / "content", 24)
    content.write_bytes(random.Random(9).randbytes(24 * MIB))
    make_ext("ext4", "-b", "4096")(content, 512, tree)
    if left_over == "ext4":
        sh("debugfs", "-w", "-R", "set_super_value state 2", content)
    if left_over == "raid":
        sh("wipefs", "-q", "-a", content)
        with content.open("r+b") as file:
            file.seek(-1024, 2)
            file.write(b"Intel Raid ISM Cfg Sig. 1.1.00")
    paste(disk, content, 1)
    [preview] = previews(agent, disk)
    assert preview["method"] == "whole"
    assert word in preview["reason"]
    same_after_restore(agent, room, disk)


@pytest.mark.parametrize(
    ("data", "hashes"),
    [(ROOT, ROOT_HASHES), (USR, USR_HASHES), (LINUX, LINUX)],
    ids=["root", "usr", "types say nothing"],
)
def test_verified_file_system(data: str, hashes: str, agent: Agent, room: Path, tree: Path) -> None:
    disk = partitioned(room / "disk", "gpt", (data, 32), (hashes, 4), (LINUX, 90))
    content, tree_of_hashes = blank(room / "content", 32), blank(room / "hashes", 4)
    content.write_bytes(random.Random(9).randbytes(32 * MIB))
    make_ext("ext4", "-b", "4096")(content, 512, tree)
    said = sh("veritysetup", "format", content, tree_of_hashes)
    [root] = [line.split()[-1] for line in said.splitlines() if line.startswith("Root hash")]
    paste(disk, content, 1)
    paste(disk, tree_of_hashes, 33)
    make_ext("ext4")(blank(room / "other", 90), 512, tree)
    paste(disk, room / "other", 37)
    found = {each["partition"]: each for each in previews(agent, disk)}
    assert [found[number]["method"] for number in "123"] == ["whole", "whole", "used"]
    assert "free" in found["1"]["reason"]
    agent("backup", disk, "--name", "pc").ok()
    target = filled(room / "target", disk.stat().st_size)
    agent("restore", "pc", target).ok()
    with (
        attached(target, offset=1 * MIB, size=32 * MIB) as first,
        attached(target, offset=33 * MIB, size=4 * MIB) as second,
    ):
        sh("veritysetup", "verify", first, second, root)


def test_volume_group_over_two_disks(agent: Agent, room: Path, tree: Path) -> None:
    paths = [blank(room / name, 40 + number) for number, name in enumerate(("one", "two"))]
    with attached(paths[0]) as one, attached(paths[1]) as two:
        both = ["--devices", one, "--devices", two]
        sh("lvm", "vgcreate", "-q", "-s", "1M", "--driverloaded", "n", *both, "half", one, two)
        root = ("-an", "-Zn", "-Wn", "-n", "root", "-l", "50")
        sh("lvm", "lvcreate", "-y", "--driverloaded", "n", *both, *root, "half")
    for path in paths:
        error = agent("backup", path, "--name", "pc").failed("source_refused")
        for word in ("disk0:disk", "volume group half", "pv1" if path == paths[0] else "pv0"):
            assert word in error["message"]
        assert "--whole disk0:disk" in error["remedy"]
        [preview] = previews(agent, path)
        assert (preview["method"], preview["reason"]) == ("refused", error["message"])
    agent("backup", paths[0], "--name", "pc", "--whole", "disk").ok()
    assert [each["method"] for each in previews(agent, *paths)] == ["used", "used"]
    agent("backup", *paths, "--name", "pc").ok()
    # One of them whole is no less of it.
    agent("backup", *paths, "--name", "pc", "--whole", "disk1:disk").ok()
    targets = [filled(room / f"{each.name}.target", each.stat().st_size) for each in paths]
    agent("restore", "pc", *targets).ok()
    with attached(targets[0]) as one, attached(targets[1]) as two:
        sh("lvm", "vgck", "--driverloaded", "n", "--devices", one, "--devices", two, "half")
