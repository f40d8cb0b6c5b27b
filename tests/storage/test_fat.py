# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT as mkfs.fat and mtools make it, with whatever they can be told, and as others leave it."""

import random
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway.engine.content.base import Decision
from slipway.engine.content.partclone import partclone_map
from slipway.engine.content.registry import open_volume, used_map

from .conftest import Agent
from .disk_builder import MIB, contents, filled, same_ranges, sh, sha256
from .failing_disk import FailingDisk, on_loop
from .fat_reader import fat

CHANCE = random.Random(12)


@st.composite
def options(draw: st.DrawFn) -> tuple[int, list[str]]:
    """KiB, and mkfs.fat's options: at most 4084 clusters, however large they are.

    Of a root directory that does not end with a sector, mkfs.fat and mtools think differently.
    """
    sector = draw(st.sampled_from([512, 1024, 2048, 4096]))
    per_cluster = draw(st.sampled_from([1, 2, 8, 32]))
    cluster = sector * per_cluster // 1024 or 1
    size = draw(st.integers(320 + 40 * cluster, min(1990 * cluster, 40_000)))
    words = [
        "-S",
        sector,
        "-s",
        per_cluster,
        "-f",
        draw(st.integers(1, 2)),
        "-r",
        draw(st.sampled_from([128, 256, 512])),
        "-R",
        draw(st.sampled_from([1, 2, 7, 32])),
    ]
    return size, [*map(str, words), *draw(st.sampled_from([[], ["-a"]]))]


def mtools(verb: str, path: Path, *words: object) -> str:
    return sh("env", "MTOOLS_SKIP_CHECK=1", verb, "-i", path, *words)


def make(path: Path, size: int, words: list[str], room: Path, bits: int = 12) -> None:
    """A file system with files of many sizes, of which some are deleted again."""
    with path.open("wb") as file:
        file.truncate(size * 1024)
    sh("mkfs.fat", "-F", bits, *words, path)
    mtools("mmd", path, "::/folder")
    for number in range(12):
        name = room / f"f{number}"
        name.write_bytes(CHANCE.randbytes(CHANCE.randrange(1, size * 1024 // 24)))
        mtools("mcopy", path, name, f"::/{'folder/' if number % 2 else ''}")
        name.unlink()
    for number in range(0, 12, 3):
        mtools("mdel", path, f"::/{'folder/' if number % 2 else ''}f{number}")


def files(path: Path, room: Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory(dir=room) as out:
        mtools("mcopy", path, "-s", "::/*", out)
        return contents(Path(out))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(options())
def test_whatever_mkfs_makes(agent: Agent, room: Path, case: tuple[int, list[str]]) -> None:
    size, words = case
    source, target = room / "source", filled(room / "target", size * 1024)
    make(source, size, words, room)
    before = files(source, room)
    sh("fsck.fat", "-n", source)
    [part] = agent("backup", source, "--name", "pc").ok()["disks"][0]["partitions"]
    assert (part["content"], part["method"]) == ("vfat", "used")
    agent("restore", "pc", target).ok()
    same_ranges(source, target, fat(source))
    report = sh("fsck.fat", "-n", "-v", target)
    assert files(target, room) == before
    # No more is saved than what fsck.fat counts.
    [in_use, clusters] = map(int, re.findall(r"(\d+)/(\d+) clusters", report)[0])
    [cluster] = map(int, re.findall(r"(\d+) bytes per cluster", report))
    [data] = map(int, re.findall(r"Data area starts at byte (\d+)", report))
    behind = size * 1024 - data - clusters * cluster
    # The sectors of a file are 512 bytes, and sector 0 belongs to the disk.
    assert data + in_use * cluster + behind - 512 == part["bytes_used"]


def test_bytes_behind_the_file_system(agent: Agent, room: Path) -> None:
    source = room / "source"
    make(source, 1440, [], room)
    with source.open("ab") as file:
        file.write(b"a vendor's own sectors".ljust(3 * 512))
    target = filled(room / "target", source.stat().st_size)
    agent("backup", source, "--name", "pc").ok()
    agent("restore", "pc", target).ok()
    assert target.read_bytes()[-3 * 512 :] == source.read_bytes()[-3 * 512 :]
    assert sha256(target) != sha256(source)


def test_larger_than_its_partition(agent: Agent, room: Path) -> None:
    source = room / "source"
    make(source, 1440, [], room)
    with source.open("r+b") as file:
        file.truncate(1400 * 1024)
    error = agent("backup", source, "--name", "pc").failed("source_refused")
    assert "its partition has" in error["message"]
    agent("backup", source, "--name", "pc", "--whole", "disk").ok()


@dataclass(frozen=True)
class Places:
    """Where the tables and clusters of a file system lie, in bytes; its own boot sector says so."""

    first: int
    length: int
    data: int
    cluster: int

    @classmethod
    def of(cls, path: Path) -> "Places":
        with path.open("rb") as file:
            head = file.read(64)
        sector, per, reserved, count, roots, _, _, short = struct.unpack_from("<HBHBHHBH", head, 11)
        length = (short or struct.unpack_from("<I", head, 36)[0]) * sector
        data = reserved * sector + count * length + roots * 32
        return cls(reserved * sector, length, data, per * sector)


def patch(path: Path, at: int, text: bytes) -> bytes:
    """Change bytes of a disk; return what stood there."""
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(len(text))
        file.seek(at)
        file.write(text)
    return before


def bad_clusters(path: Path, bits: int, count: int) -> tuple[int, int]:
    """Mark free clusters as bad, in both tables; where they lie, in bytes."""
    places, mark = Places.of(path), {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}[bits]
    text = path.read_bytes()
    # Away from the first sectors, where everything looks for a partition table.
    free, number = 0, 1500
    table = int.from_bytes(text[places.first : places.first + places.length], "little")
    while free < count:
        number += 1
        free = 0 if table >> number * bits & ((1 << bits) - 1) else free + 1
    first = number - count + 1
    for each in range(first, number + 1):
        table |= mark << each * bits
    for copy in range(2):
        patch(path, places.first + copy * places.length, table.to_bytes(places.length, "little"))
    start = places.data + (first - 2) * places.cluster
    return start, start + count * places.cluster


KINDS = [(12, 1440, []), (16, 20_000, []), (32, 40_000, ["-s", "1"])]


@pytest.mark.parametrize(("bits", "size", "words"), KINDS[1:], ids=lambda value: str(value))
def test_map_is_that_of_partclone(bits: int, size: int, words: list[str], room: Path) -> None:
    path = room / "disk"
    make(path, size, words, room, bits)
    with open_volume("disk0:disk", path, 0, size * 1024, 512) as volume:
        assert used_map(volume, Decision("used")) == partclone_map("fat", volume)


def saved_and_restored(agent: Agent, source: Path, room: Path) -> Path:
    """By used blocks, onto a dirty disk; nothing of them may differ."""
    [preview] = agent("probe", source).ok()["disks"][0]["partitions"]
    assert preview["method"] == "used", preview
    agent("backup", source, "--name", "pc").ok()
    target = filled(room / "target", source.stat().st_size)
    agent("restore", "pc", target).ok()
    assert agent("compare", "pc", target).code == 0
    same_ranges(source, target, fat(source))
    return target


@pytest.mark.parametrize("active", [0, 1])
def test_tables_that_are_no_mirrors(active: int, agent: Agent, room: Path) -> None:
    """Mirroring is off: a file that came later stands in the active table alone."""
    source = room / "source"
    make(source, 40_000, ["-s", "1"], room, 32)
    places = Places.of(source)
    stale = places.first + (1 - active) * places.length
    before = source.read_bytes()[stale : stale + places.length]
    (room / "late").write_bytes(CHANCE.randbytes(MIB))
    mtools("mcopy", source, room / "late", "::/late")
    patch(source, stale, before)
    patch(source, 40, struct.pack("<H", 0x80 | active))
    wanted = files(source, room)
    assert wanted["late"] == sha256(room / "late")
    assert files(saved_and_restored(agent, source, room), room) == wanted


@pytest.mark.parametrize(("bits", "size", "words"), KINDS[1:], ids=lambda value: str(value))
def test_volume_that_was_not_unmounted(
    bits: int, size: int, words: list[str], agent: Agent, room: Path
) -> None:
    source = room / "source"
    make(source, size, words, room, bits)
    width, clean = bits // 8, 1 << (15 if bits == 16 else 27)
    places = Places.of(source)
    for copy in range(2):
        at = places.first + copy * places.length + width
        value = int.from_bytes(source.read_bytes()[at : at + width], "little") & ~clean
        patch(source, at, value.to_bytes(width, "little"))
    assert files(saved_and_restored(agent, source, room), room) == files(source, room)


@pytest.mark.parametrize("size", [1440, 20_000], ids=["FAT12", "FAT16"])
def test_boot_sector_of_an_old_system(size: int, agent: Agent, room: Path) -> None:
    """DOS 3: no extended boot signature, and code where others have serial number and label."""
    source = room / "source"
    make(source, size, [], room, 12 if size == 1440 else 16)
    patch(source, 36, bytes(CHANCE.choice(b"\x90\x8b\xfa") for _ in range(62 - 36)))
    assert "vfat" in sh("blkid", "-p", "-o", "value", source)
    assert files(saved_and_restored(agent, source, room), room) == files(source, room)


@pytest.mark.parametrize(("bits", "size", "words"), KINDS, ids=lambda value: str(value))
def test_bad_clusters_are_not_read(
    bits: int, size: int, words: list[str], agent: Agent, room: Path
) -> None:
    source = room / "source"
    make(source, size, words, room, bits)
    start, end = bad_clusters(source, bits, 3)
    wanted = files(source, room)
    with FailingDisk(source, room) as failing:
        failing.faults(bad=[(start, end)])
        with on_loop(failing.path) as device:
            saved = agent("backup", device, "--name", "pc").ok()
    assert (saved["degraded"], saved["unreadable"]) == (False, 0)
    target = filled(room / "target", source.stat().st_size)
    agent("restore", "pc", target).ok()
    same_ranges(source, target, fat(source))
    assert files(target, room) == wanted
