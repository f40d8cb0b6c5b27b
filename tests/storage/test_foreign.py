# SPDX-License-Identifier: GPL-3.0-or-later
"""What lay on the target before does not shine through: marks of RAID, ZFS, LUKS, bcache, btrfs."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import (
    MAKERS,
    MIB,
    Disk,
    attached,
    check,
    disk_with,
    filled,
    make_ext,
    same_ranges,
    sh,
)
from .hashes import hash_of
from .marks import FIRMWARE, MARKS, iso, put, seen

pytestmark = pytest.mark.storage

Golden = Callable[[str], Disk]
AT_THE_END = ("md-0.90", "md-1.0", "zfs", "nilfs2", "gpt", *FIRMWARE)


@pytest.fixture(scope="module")
def saved(golden: Golden, space: Path) -> tuple[Disk, Agent]:
    """A disk, and the store that it was saved in once for all."""
    source, agent = golden("roomy"), Agent(space / "store-of-foreign")
    agent("backup", source.path, "--name", "pc").ok()
    return source, agent


def named(result: dict[str, object]) -> dict[str, list[str]]:
    """What was found beside the image, by partition."""
    [disk] = result["disks"]  # type: ignore[misc]
    return {each["partition"]: each["foreign"] for each in disk["partitions"] if each["foreign"]}


def kinds(said: str) -> list[str]:
    """The kinds among what blkid and wipefs make of a stretch, without sizes and places."""
    return [
        re.sub("0x[0-9a-f]+", "", line)
        for line in said.splitlines()
        if line.startswith(("TYPE", "PTTYPE", "UUID", "0x"))
    ]


def test_partitions_are_what_the_image_says(golden: Golden, agent: Agent, room: Path) -> None:
    """Everything was once on this target, in each partition and on the disk as such."""
    source = golden("roomy")
    size = source.path.stat().st_size
    agent("backup", source.path, "--name", "pc").ok()
    target = filled(room / "target", size)
    for mark in MARKS:
        put(target, 0, size, mark)
        for part in source.parts:
            put(target, part.offset, part.size, mark)
    agent("restore", "pc", target).ok()
    for part in source.parts:
        expected = seen(source.path, part.offset, part.size)
        assert seen(target, part.offset, part.size) == expected, part
    assert seen(target, 0, size) == seen(source.path, 0, size)
    assert agent("compare", "pc", target).code == 0
    again = hash_of(target)
    assert agent("restore", "pc", target).ok()["changed"] is False
    assert hash_of(target) == again
    # Our own next backup takes it as it took the source.
    agent("backup", target, "--name", "twin").ok()


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_alone_is_a_difference(mark: str, saved: tuple[Disk, Agent], room: Path) -> None:
    """On swap space, of which an image keeps one page; then only that is written."""
    source, agent = saved
    target = source.copy(room / "target")
    swap = source.part(6)
    expected = seen(source.path, swap.offset, swap.size)
    put(target.path, swap.offset, swap.size, mark)
    assert seen(target.path, swap.offset, swap.size) != expected
    marked = hash_of(target.path)
    compared = agent("compare", "pc", target.path)
    assert compared.code == 1
    assert set(named(compared.ok())) == {"6"}
    [part] = [each for each in compared.ok()["disks"][0]["partitions"] if each["foreign"]]
    assert part["differing_cells"] == 0 or mark == "md-1.1"
    planned = agent("restore", "pc", target.path, "--dry-run").ok()
    assert planned["changed"] is True and planned["written"] == 0
    assert hash_of(target.path) == marked
    assert agent("restore", "pc", target.path).ok()["changed"] is True
    assert seen(target.path, swap.offset, swap.size) == expected
    assert agent("restore", "pc", target.path).ok()["changed"] is False


@pytest.mark.parametrize("mark", AT_THE_END)
def test_space_behind_the_image(mark: str, saved: tuple[Disk, Agent], room: Path) -> None:
    """A larger disk that was a member of something with its last sectors."""
    source, agent = saved
    old = source.path.stat().st_size
    size = old + 40 * MIB
    target = filled(room / "target", size)
    place = ("pc", "--target", f"disk0={target}")
    restore = ("restore", *place)
    put(target, 0, size, mark)
    assert seen(target, 0, size)
    agent(*restore).ok()
    assert seen(target, 0, size) == seen(source.path, 0, old)
    put(target, 0, size, mark)
    assert seen(target, 0, size) != seen(source.path, 0, old)
    compared = agent("compare", *place)
    assert compared.code == 1
    assert set(named(compared.ok())) == {"space"}
    assert agent(*restore).ok()["changed"] is True
    assert seen(target, 0, size) == seen(source.path, 0, old)
    assert agent(*restore).ok()["changed"] is False
    agent("backup", target, "--name", "twin").ok()


@pytest.mark.parametrize("mark", ["gpt", "isw", "md-0.90"])
def test_sectors_of_4096_bytes(mark: str, agent: Agent, room: Path, tree: Path) -> None:
    """Some marks are counted in sectors from the end."""
    script = "label: dos\nstart=1MiB, size=40MiB\nstart=41MiB, size=20MiB, type=82\n"
    makers = {1: make_ext("ext4", "-b", "4096"), 2: MAKERS["swap"]}
    source = disk_with(room, script, 64 * MIB, makers, tree, 4096)
    with attached(source.path, 4096) as device:
        agent("backup", device, "--name", "pc").ok()
    size, swap = 90 * MIB, source.part(2)
    target = filled(room / "target", size)
    with attached(target, 4096) as device:
        place = ("pc", "--target", f"disk0={device}")
        agent("restore", *place).ok()
        put(device, 0, size, mark, 4096)
        put(device, swap.offset, swap.size, mark, 4096)
        compared = agent("compare", *place)
        assert compared.code == 1
        assert set(named(compared.ok())) == {"space", "2"}
        agent("restore", *place).ok()
        assert agent("restore", *place).ok()["changed"] is False
    for part in source.parts:
        expected = seen(source.path, part.offset, part.size, 4096)
        assert seen(target, part.offset, part.size, 4096) == expected
    assert seen(target, 0, size, 4096) == seen(source.path, 0, 64 * MIB, 4096)


def test_an_old_stick_with_a_system(agent: Agent, room: Path, tree: Path) -> None:
    """ISO 9660 is looked for 32 KiB behind the disk's beginning: old partitions begin before."""
    source = disk_with(
        room, "label: dos\nstart=63, size=90000\n", 64 * MIB, {1: make_ext("ext2")}, tree
    )
    agent("backup", source.path, "--name", "pc").ok()
    size = 90 * MIB
    target = filled(room / "target", size)
    place = ("pc", "--target", f"disk0={target}")
    for changed in (True, True):
        with target.open("r+b") as file:
            file.seek(32 << 10)
            file.write(iso())
        put(target, 0, size, "gpt")
        assert "iso9660" in seen(target, 0, size)
        assert agent("compare", *place).code == 1
        assert agent("restore", *place).ok()["changed"] is changed
        assert seen(target, 0, size) == seen(source.path, 0, 64 * MIB)
        assert agent("restore", *place).ok()["changed"] is False
    check(source.extract(source.parts[0], room / "part"), "ext2", 512, tree)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "ntfs", "swap"])
def test_a_partition_that_grows_takes_no_marks(
    kind: str, agent: Agent, room: Path, tree: Path
) -> None:
    """They lie where its new end is, which the image knows nothing of."""
    length = {"xfs": 320, "btrfs": 260}.get(kind, 60) * MIB
    script = f"label: gpt\nstart=1MiB, size={length // MIB}MiB\n"
    source = disk_with(room, script, length + 4 * MIB, {1: MAKERS[kind]}, tree)
    agent("backup", source.path, "--name", "pc").ok()
    size = length + 80 * MIB
    end = (size - 33 * 512) // MIB * MIB
    target = filled(room / "target", size)
    for mark in MARKS:
        put(target, MIB, end - MIB, mark)
        put(target, 0, size, mark)
    restore = ("restore", "pc", "--target", f"disk0={target}", "--grow", "last")
    agent(*restore).ok()
    expected = seen(source.path, MIB, length)
    assert seen(target, MIB, end - MIB).splitlines()[-1] == expected.splitlines()[-1]
    assert kinds(seen(target, MIB, end - MIB)) == kinds(expected)
    assert kinds(seen(target, 0, size)) == kinds(seen(source.path, 0, length + 4 * MIB))
    for mark in AT_THE_END:
        put(target, MIB, end - MIB, mark)
    agent(*restore).ok()
    assert kinds(seen(target, MIB, end - MIB)) == kinds(expected)
    if kind == "swap":
        assert agent(*restore).ok()["changed"] is False
    if kind != "ntfs":
        # NTFS waits for Windows to check it at its next start.
        agent("backup", target, "--name", "twin").ok()


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
    before = hash_of(target.path)
    assert agent("compare", "pc", target.path).code == 0
    assert agent("restore", "pc", target.path).ok()["changed"] is False
    assert hash_of(target.path) == before


def test_one_partition_alone(golden: Golden, agent: Agent, room: Path) -> None:
    source = golden("mbr")
    agent("backup", source.path, "--name", "pc").ok()
    target = source.copy(room / "target")
    for number in (5, 6):
        part = target.part(number)
        put(target.path, part.offset, part.size, "md-1.0")
    agent("restore", "pc", target.path, "--partition", "6").ok()
    swap, other = source.part(6), source.part(5)
    assert seen(target.path, swap.offset, swap.size) == seen(source.path, swap.offset, swap.size)
    assert "linux_raid_member" in seen(target.path, other.offset, other.size)
    size = source.path.stat().st_size
    same_ranges(source.path, target.path, [(0, other.offset), (swap.offset + swap.size, size)])


def test_a_disk_without_a_table_and_its_content_have_two_names(
    agent: Agent, room: Path, tree: Path
) -> None:
    """What it holds is `disk`, the space around it is not."""
    source = room / "source"
    with source.open("wb") as file:
        file.truncate(40 * MIB)
    MAKERS["ext4"](source, 512, tree)
    agent("backup", source, "--name", "pc").ok()
    target = filled(room / "target", 60 * MIB)
    put(target, 0, 60 * MIB, "md-1.0")
    for _ in range(2):
        result = agent("restore", "pc", "--target", f"disk0={target}", "--dry-run").ok()
        rows = result["disks"][0]["partitions"]
        names = [each["partition"] for each in rows]
        assert len(names) == len(set(names)) and "disk" in names
        assert [each["foreign"] for each in rows if each["foreign"]] == [["linux_raid_member"]]
        sh("dd", f"if={source}", f"of={target}", "bs=1M", "conv=notrunc", "status=none")
    agent("restore", "pc", "--target", f"disk0={target}").ok()
    assert agent("compare", "pc", "--target", f"disk0={target}").code == 0


@pytest.mark.parametrize("kind", ["fat32", "ntfs", "exfat", "ext4"])
def test_a_file_system_without_a_table_keeps_its_own_mark(
    kind: str, agent: Agent, room: Path, tree: Path
) -> None:
    """The first sector, where the mark of some stands, is a segment of its own."""
    source, size = room / "source", 100 * MIB
    with source.open("wb") as file:
        file.truncate(size)
    MAKERS[kind](source, 512, tree)
    agent("backup", source, "--name", "pc").ok()
    target = filled(room / "target", size)
    agent("restore", "pc", target).ok()
    assert seen(target, 0, size) == seen(source, 0, size) != ""
    assert agent("compare", "pc", target).code == 0
    before = hash_of(target)
    assert agent("restore", "pc", target).ok()["changed"] is False
    assert hash_of(target) == before
