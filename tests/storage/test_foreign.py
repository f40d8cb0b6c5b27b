"""What lay on the target before does not shine through: marks of RAID, ZFS, LUKS, bcache, btrfs."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Agent
from disk_builder import MAKERS, MIB, Disk, attached, filled, same_ranges, sh, sha256

pytestmark = pytest.mark.storage

Golden = Callable[[str], Disk]
Mark = tuple[int, bytes]
"""A place, from a volume's end where it is negative, and the bytes there."""


def md(size: int, minor: int) -> Mark:
    """A super block of md, version 1.x, with its checksum (Linux, md_p.h)."""
    place = {0: (size // 512 - 16) // 8 * 8, 1: 0, 2: 8}[minor]
    block = bytearray(256)
    struct.pack_into("<II", block, 0, 0xA92B4EFC, 1)
    block[16:32] = bytes(range(16))
    struct.pack_into("<QiiQ", block, 64, 1, 1, 0, size // 512 - 16)
    struct.pack_into("<I", block, 92, 2)
    struct.pack_into("<QQQ", block, 128, 0, size // 512 - 16, place)
    words = struct.unpack_from("<64I", block)
    total = sum(words)
    struct.pack_into("<I", block, 216, ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)
    return place * 512, bytes(block)


def zfs(size: int) -> Mark:
    """The last label of a ZFS member: its array of uberblocks (128 KiB into 256 KiB)."""
    ring = b"".join(
        struct.pack("<QQQ", 0x00BAB10C, 5000, number).ljust(1024, b"\0") for number in range(16)
    )
    return size // (256 << 10) * (256 << 10) - (256 << 10) + (128 << 10), ring


def luks_copy(_: int) -> Mark:
    """The second header of LUKS2, which stands at one of several places in the head."""
    header = b"SKUL\xba\xbe" + struct.pack(">HQ", 2, 16384)
    return 16384, header.ljust(4096, b"\0")


def bcache(_: int) -> Mark:
    block = bytearray(4096)
    struct.pack_into("<QQQ", block, 0, 0, 8, 1)
    block[24:40] = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
    return 4096, bytes(block)


def btrfs(_: int) -> Mark:
    block = bytearray(4096)
    struct.pack_into("<QQ", block, 48, 64 << 10, 0)
    block[64:72] = b"_BHRfS_M"
    return 64 << 10, bytes(block)


MARKS: dict[str, Callable[[int], Mark]] = {
    "md-end": lambda size: md(size, 0),
    "zfs-end": zfs,
    "luks2-copy": luks_copy,
    "bcache": bcache,
    "btrfs": btrfs,
}


def put(path: Path, offset: int, size: int, mark: str) -> None:
    place, content = MARKS[mark](size)
    with path.open("r+b") as file:
        file.seek(offset + place)
        file.write(content)


def seen(path: Path, offset: int, size: int) -> str:
    """What blkid and wipefs make of a stretch of a disk."""
    with attached(path, 512, offset, size) as device:
        probed = sh("blkid", "-p", "-o", "export", device, ok=(0, 2, 8)).splitlines()
        listed = sh("wipefs", "--parsable", device).splitlines()
    return "\n".join([line for line in probed if "DEVNAME" not in line] + listed)


@pytest.mark.parametrize("mark", MARKS)
def test_partitions_are_what_the_image_says(
    mark: str, golden: Golden, agent: Agent, room: Path
) -> None:
    source = golden("mbr")
    size = source.path.stat().st_size
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", size)
    for part in source.parts:
        put(target, part.offset, part.size, mark)
    agent("restore", "pc", target).ok()
    for part in source.parts:
        expected = seen(source.path, part.offset, part.size)
        assert seen(target, part.offset, part.size) == expected, part
    assert seen(target, 0, size) == seen(source.path, 0, size)
    assert agent("compare", "pc", target).code == 0
    again = sha256(target)
    assert agent("restore", "pc", target).ok()["changed"] is False
    assert sha256(target) == again
    # Our own next backup takes it as it took the source.
    agent("backup", target, "--name", "twin").ok()


# Nobody takes something of 20 MiB for a member of ZFS.
@pytest.mark.parametrize("mark", sorted(MARKS.keys() - {"zfs-end"}))
def test_a_mark_alone_is_a_difference(mark: str, golden: Golden, agent: Agent, room: Path) -> None:
    """On swap space, of which an image keeps one page; then only that is written."""
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = source.copy(room / "target")
    swap = source.part(6)
    put(target.path, swap.offset, swap.size, mark)
    marked = sha256(target.path)
    compared = agent("compare", "pc", target.path)
    assert compared.code == 1
    [part] = [each for each in compared.ok()["disks"][0]["partitions"] if each["foreign"]]
    assert part["partition"] == "6" and part["differing_cells"] == 0
    planned = agent("restore", "pc", target.path, "--dry-run").ok()
    assert planned["changed"] is True and planned["written"] == 0
    assert sha256(target.path) == marked
    assert agent("restore", "pc", target.path).ok()["changed"] is True
    assert seen(target.path, swap.offset, swap.size) == seen(source.path, swap.offset, swap.size)
    assert agent("restore", "pc", target.path).ok()["changed"] is False


@pytest.mark.parametrize("mark", ["md-end", "zfs-end"])
def test_space_behind_the_image(mark: str, golden: Golden, agent: Agent, room: Path) -> None:
    """A larger disk that was a member of something with its last sectors."""
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    size = source.path.stat().st_size + 100 * MIB
    target = filled(room / "target", size)
    place = ("pc", "--target", f"disk0={target}")
    restore = ("restore", *place)
    put(target, 0, size, mark)
    assert "linux_raid_member" in seen(target, 0, size) or "zfs" in seen(target, 0, size)
    agent(*restore).ok()
    assert seen(target, 0, size) == seen(source.path, 0, source.path.stat().st_size)
    put(target, 0, size, mark)
    compared = agent("compare", *place)
    assert compared.code == 1
    assert [
        each["partition"] for each in compared.ok()["disks"][0]["partitions"] if each["foreign"]
    ] == ["space"]
    assert agent(*restore).ok()["changed"] is True
    assert agent(*restore).ok()["changed"] is False


def test_old_data_in_free_space_is_no_difference(golden: Golden, agent: Agent, room: Path) -> None:
    """Deleted files lie there on every disk in use."""
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = source.copy(room / "target")
    swap = target.part(6)
    with target.path.open("r+b") as file:
        for place in (64 << 10, swap.size - 4096):
            file.seek(swap.offset + place)
            file.write(bytes([0xA5]) * 4096)
    before = sha256(target.path)
    assert agent("compare", "pc", target.path).code == 0
    assert agent("restore", "pc", target.path).ok()["changed"] is False
    assert sha256(target.path) == before


def test_one_partition_alone(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = source.copy(room / "target")
    for number in (5, 6):
        part = target.part(number)
        put(target.path, part.offset, part.size, "md-end")
    agent("restore", "pc", target.path, "--partition", "6").ok()
    swap, other = source.part(6), source.part(5)
    assert seen(target.path, swap.offset, swap.size) == seen(source.path, swap.offset, swap.size)
    assert "linux_raid_member" in seen(target.path, other.offset, other.size)
    size = source.path.stat().st_size
    same_ranges(source.path, target.path, [(0, other.offset), (swap.offset + swap.size, size)])


def test_a_disk_without_a_table_has_one_line(agent: Agent, room: Path, tree: Path) -> None:
    """What it holds and the disk itself have the same name."""
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(40 * MIB)
    MAKERS["ext4"](source, 512, tree)
    agent("backup", source, "--name", "pc").ok()
    target = filled(room / "target", 60 * MIB)
    place, block = md(60 * MIB, 0)
    with target.open("r+b") as file:
        file.seek(place)
        file.write(block)
    for _ in range(2):
        result = agent("restore", "pc", "--target", f"disk0={target}", "--dry-run").ok()
        rows = [each for each in result["disks"][0]["partitions"] if each["partition"] == "disk"]
        assert [each["foreign"] for each in rows] == [["linux_raid_member"]]
        sh("dd", f"if={source}", f"of={target}", "bs=1M", "conv=notrunc", "status=none")
    agent("restore", "pc", "--target", f"disk0={target}").ok()
    assert agent("compare", "pc", "--target", f"disk0={target}").code == 0
