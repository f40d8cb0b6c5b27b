# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that can't say what is in use: a refusal that helps, beforehand as well."""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MAKERS, MIB, Disk, filled, make_ext, sh
from .hashes import hash_of

Golden = Callable[[str], Disk]


def disk(room: Path, size: int) -> Path:
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(size * MIB)
    return path


def refused(agent: Agent, path: Path, *words: str) -> None:
    """Partition, program's words and remedy; probe says the same, and the remedy works."""
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert error["exit_code"] == 8
    for word in ("disk0:disk", *words):
        assert word in error["message"]
    assert "--whole disk0:disk" in error["remedy"]
    [preview] = agent("probe", path).ok()["disks"][0]["partitions"]
    said = (preview["method"], preview["reason"], preview["remedy"])
    # Each run has loop devices of its own.
    assert without_loops(*said) == without_loops("refused", error["message"], error["remedy"])
    [preview] = agent("probe", path, "--whole", "disk0:disk").ok()["disks"][0]["partitions"]
    assert preview["method"] == "whole"
    agent("backup", path, "--name", "pc", "--whole", "disk0:disk").ok()
    target = filled(path.with_name("target"), path.stat().st_size)
    agent("restore", "pc", target).ok()
    assert hash_of(target) == hash_of(path)


def without_loops(*texts: str) -> list[str]:
    return [" ".join(w for w in text.split() if "/dev/loop" not in w) for text in texts]


def test_ext4_with_a_feature_of_the_future(agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room, 40)
    make_ext("ext4", "-O", "^metadata_csum")(path, 512, tree)
    with path.open("r+b") as file:
        file.seek(1024 + 96)
        (features,) = struct.unpack("<I", file.read(4))
        file.seek(1024 + 96)
        file.write(struct.pack("<I", features | 1 << 30))
    refused(agent, path, "dumpe2fs", "unsupported feature")


def test_ext4_whose_journal_can_not_be_read(agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room, 40)
    make_ext("ext4", "-b", "1024")(path, 512, tree)
    block = int(sh("debugfs", "-R", "bmap <8> 0", path).split()[-1])
    with path.open("r+b") as file:
        file.seek(block * 1024)
        file.write(b"no journal" * 100)
    refused(agent, path, "dumpe2fs", "ournal superblock magic number invalid")


def test_ext4_whose_bitmap_is_damaged(agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room, 40)
    make_ext("ext4", "-b", "1024")(path, 512, tree)
    words = sh("dumpe2fs", path).split("Block bitmap at ")[1].split()
    with path.open("r+b") as file:
        file.seek(int(words[0]) * 1024)
        file.write(b"no bitmap!" * 100)
    refused(agent, path, "dumpe2fs", "Block bitmap checksum does not match")


def test_xfs_of_the_first_kind(agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room, 320)
    sh("mkfs.xfs", "-q", "-m", "crc=0", path)
    sh("xfs_db", "-x", "-c", "sb 0", "-c", "write versionnum 0x84", path)
    refused(agent, path, "V1 inodes unsupported")


PROGRAMS = {
    "ext4": "dumpe2fs",
    "xfs": "partclone.xfs",
    "btrfs": "btrfs",
    "ntfs": "partclone.ntfs",
    "exfat": "partclone.exfat",
}
ENDINGS = {
    "fails": "echo out of luck; echo and of memory >&2; exit 3",
    "crashes": "echo out of luck, and of memory; kill -SEGV $$",
    "babbles": "echo out of luck 0x1 nobody; echo 'Block size: many'; echo num_devices x",
    "is silent": "true",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", PROGRAMS)
def test_program_that(
    content: str,
    ending: str,
    agent: Agent,
    room: Path,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = disk(room, {"xfs": 320, "btrfs": 160}.get(content, 64))
    MAKERS[content](path, 512, tree)
    (room / "bin").mkdir()
    program = room / "bin" / PROGRAMS[content]
    program.write_text(f"#!/bin/sh\n{ENDINGS[ending]}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{room / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    words = {
        "fails": ["ended with code 3", "out of luck", "and of memory"],
        "crashes": ["killed by SIGSEGV", "out of luck"],
    }
    refused(agent, path, *words.get(ending, []))


def test_stopped_while_a_program_works(
    agent: Agent, room: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no fault of the program, and of the disk neither."""
    path = disk(room, 40)
    make_ext("ext4")(path, 512, tree)
    (room / "bin").mkdir()
    (room / "bin/dumpe2fs").write_text(f"#!/bin/sh\ntouch {room}/works\nexec sleep 120\n")
    (room / "bin/dumpe2fs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{room / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    process = agent.start("backup", path, "--name", "pc")
    deadline = time.monotonic() + 60
    while not (room / "works").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"interrupted"' in output.splitlines()[-1]


def test_each_refused_partition_is_named(
    golden: Golden, agent: Agent, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = golden("gpt")
    (room / "bin").mkdir()
    for name in ("partclone.ntfs", "dumpe2fs"):
        (room / "bin" / name).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{room / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    error = agent("backup", source.path, "--name", "pc").failed("source_refused")
    for number in (2, 5, 10):
        assert f"disk0:{number} of " in error["message"]
        assert f"--whole disk0:{number}" in error["remedy"]
    methods = {
        each["partition"]: each["method"]
        for each in agent("probe", source.path).ok()["disks"][0]["partitions"]
    }
    assert sorted(name for name, method in methods.items() if method == "refused") == [
        "10",
        "2",
        "5",
    ]
