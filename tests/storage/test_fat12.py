"""FAT12 as mkfs.fat and mtools make it, with whatever they can be told."""

import random
import re
import tempfile
from pathlib import Path

from conftest import Agent
from disk_builder import contents, filled, same_ranges, sh, sha256
from fat_reader import fat12
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    words = ["-S", sector, "-s", per_cluster, "-f", draw(st.integers(1, 2)),
             "-r", draw(st.sampled_from([128, 256, 512])),
             "-R", draw(st.sampled_from([1, 2, 7, 32]))]  # fmt: skip
    return size, [*map(str, words), *draw(st.sampled_from([[], ["-a"]]))]


def mtools(verb: str, path: Path, *words: object) -> str:
    return sh("env", "MTOOLS_SKIP_CHECK=1", verb, "-i", path, *words)


def make(path: Path, size: int, words: list[str], room: Path) -> None:
    """A file system with files of many sizes, of which some are deleted again."""
    with path.open("wb") as file:
        file.truncate(size * 1024)
    sh("mkfs.fat", "-F", "12", *words, path)
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
    same_ranges(source, target, fat12(source))
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
