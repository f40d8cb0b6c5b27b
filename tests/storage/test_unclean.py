# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that their own system did not let go of, when they are to be saved all the same."""

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import (
    MAKERS,
    MIB,
    attached,
    contents,
    device_link,
    filled,
    make_ext,
    mounted,
    sh,
    used_ranges,
)
from .hashes import hash_of
from .ntfs_builder import open_log

Ranges = list[tuple[int, int]]


def disk(room: Path, size: int) -> Path:
    path = room / "source"
    with path.open("wb") as file:
        file.truncate(size * MIB)
    return path


def saved(agent: Agent, source: Path) -> tuple[str, int]:
    """Method and bytes; what probe says beforehand is what happens."""
    [preview] = agent("probe", source, "--unclean", "whole").ok()["disks"][0]["partitions"]
    result = agent("backup", source, "--name", "pc", "--unclean", "whole").ok()
    [part] = result["disks"][0]["partitions"]
    assert preview["method"] == part["method"]
    return part["method"], part["bytes_used"]


def restored(agent: Agent, room: Path, source: Path) -> Path:
    target = filled(room / "target", source.stat().st_size)
    agent("restore", "pc", target).ok()
    assert agent("compare", "pc", target).code == 0
    return target


@contextmanager
def crash(path: Path, tree: Path, *options: str) -> Iterator[tuple[Path, Path]]:
    """In use: files are deleted and written, one piece of metadata stays in the journal alone.

    The second path is the copy of the disk that is made at the end, as if the power went.
    """
    copy = path.with_name("crashed")
    with attached(path) as device, mounted(device_link(device, path), *options) as point:
        shutil.copytree(tree, point / "first")
        # What is in the bitmaps now is on the disk, and not in the journal any more.
        sh("sync", "-f", point)
        sh("fsfreeze", "-f", point)
        sh("fsfreeze", "-u", point)
        shutil.rmtree(point / "first" / "folder1")
        yield point, copy
        for root, _, names in os.walk(point):
            for name in names:
                handle = os.open(Path(root, name), os.O_RDONLY)
                os.fsync(handle)
                os.close(handle)
        shutil.copyfile(path, copy)


def replayed(path: Path, room: Path) -> dict[str, str]:
    """Files after the kernel has replayed the journal, and the checker finds nothing."""
    copy = room / "replayed"
    shutil.copyfile(path, copy)
    with attached(copy) as device:
        with mounted(device_link(device, copy)) as point:
            found = contents(point)
        sh("e2fsck", "-fn", device)
    copy.unlink()
    return found


def missing(wanted: Ranges, given: Ranges) -> int:
    """Blocks of 1 KiB of one that the other lacks."""
    have = {block for start, end in given for block in range(start >> 10, end >> 10)}
    need = (block for start, end in wanted for block in range(start >> 10, end >> 10))
    return sum(block not in have for block in need)


SHAPES = {
    "ext3": ("ext3", ("-b", "1024"), ()),
    "ext4": ("ext4", ("-b", "4096"), ()),
    "ext4, 1 KiB, no flexible groups": ("ext4", ("-b", "1024", "-O", "^flex_bg"), ()),
    "ext4, data in the journal": ("ext4", ("-b", "4096"), ("-o", "data=journal")),
    "ext4, 32 bit, old checksums": ("ext4", ("-O", "^64bit,^metadata_csum,uninit_bg"), ()),
    "ext4, bigalloc": ("ext4", ("-O", "bigalloc", "-C", "16384"), ()),
    "ext4, no extents": ("ext4", ("-O", "^extent,^64bit", "-b", "2048"), ()),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_journal_is_part_of_the_map(
    shape: tuple[str, tuple[str, ...], tuple[str, ...]], agent: Agent, room: Path, tree: Path
) -> None:
    kind, options, mount = shape
    path = disk(room, 160)
    sh(f"mkfs.{kind}", "-q", "-F", *options, path)
    with crash(path, tree, *mount) as (point, copy):
        for number in range(6):
            shutil.copytree(tree, point / f"late{number}")
            shutil.rmtree(point / f"late{number - 1}", ignore_errors=True)
    assert "needs_recovery" in sh("dumpe2fs", "-h", copy)
    agent("backup", copy, "--name", "pc").failed("source_refused")
    before = hash_of(copy)
    method, size = saved(agent, copy)
    assert (method, hash_of(copy)) == ("used", before)
    assert size < 120 * MIB
    target = restored(agent, room, copy)
    wanted = replayed(copy, room)
    assert len(wanted) > 60
    assert replayed(target, room) == wanted


def test_the_bitmaps_alone_lack_files(agent: Agent, room: Path, tree: Path) -> None:
    """What makes the test above one: the map before a replay is not enough."""
    path = disk(room, 160)
    sh("mkfs.ext4", "-q", "-F", path)
    with crash(path, tree) as (point, copy):
        shutil.copytree(tree, point / "late")
    stale = used_ranges(copy, "ext4")
    after = room / "after"
    shutil.copyfile(copy, after)
    sh("e2fsck", "-p", "-E", "journal_only", after)
    assert missing(used_ranges(after, "ext4"), stale) > 0
    _, size = saved(agent, copy)
    assert size < 160 * MIB // 2


def test_journal_that_went_round(agent: Agent, room: Path, tree: Path) -> None:
    """The smallest journal there is, written through several times."""
    path = disk(room, 100)
    sh("mkfs.ext4", "-q", "-F", "-b", "1024", "-J", "size=1", path)
    with crash(path, tree) as (point, copy):
        for number in range(300):
            (point / f"f{number}").write_bytes(b"%d" % number * 5000)
            if number % 3 == 0:
                (point / f"f{number - 2}").unlink(missing_ok=True)
            sh("sync", point / f"f{number}")
    assert saved(agent, copy)[0] == "used"
    assert replayed(restored(agent, room, copy), room) == replayed(copy, room)


def test_fast_commits(agent: Agent, room: Path, tree: Path) -> None:
    """They say nothing about bitmaps."""
    path = disk(room, 64)
    sh("mkfs.ext4", "-q", "-F", "-O", "fast_commit", path)
    with crash(path, tree) as (point, copy):
        (point / "late").write_bytes(b"late" * 5000)
    assert saved(agent, copy) == ("whole", 64 * MIB - 512)
    assert hash_of(restored(agent, room, copy)) == hash_of(copy)


def test_journal_that_can_not_be_read(agent: Agent, room: Path, tree: Path) -> None:
    """debugfs shows none of it: nothing is known about what a replay does."""
    path = disk(room, 64)
    sh("mkfs.ext4", "-q", "-F", path)
    with crash(path, tree) as (point, copy):
        shutil.copytree(tree, point / "late")
    (room / "bin").mkdir()
    (room / "bin/debugfs").write_text("#!/bin/sh\necho 'no journal'\n")
    (room / "bin/debugfs").chmod(0o755)
    os.environ["PATH"], old = f"{room}/bin:{os.environ['PATH']}", os.environ["PATH"]
    try:
        assert saved(agent, copy)[0] == "whole"
    finally:
        os.environ["PATH"] = old


def _not_clean(path: Path) -> None:
    sh("debugfs", "-w", "-R", "set_super_value state 2", path)


def _patched(at: int, text: bytes) -> Callable[[Path], None]:
    def patch(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(text)

    return patch


def _hibernated(path: Path) -> None:
    with mounted(path, "-t", "ntfs-3g") as point:
        (point / "hiberfil.sys").write_bytes(b"HIBR" + bytes(8192))


def _f2fs_in_use(path: Path) -> None:
    text = bytearray(path.read_bytes())
    [first] = struct.unpack_from("<I", text, 1024 + 76)
    for pack in (first, first + 512):
        flags = struct.unpack_from("<I", text, pack * 4096 + 132)[0]
        struct.pack_into("<I", text, pack * 4096 + 132, flags & ~1)
    path.write_bytes(text)


STATES = {
    "ext2 not clean": ("ext2", _not_clean),
    "ext4 with errors": ("ext4", _not_clean),
    "ntfs, log open": ("ntfs", open_log),
    "ntfs, hibernated": ("ntfs", _hibernated),
    "exfat": ("exfat", _patched(106, b"\x02")),
    "f2fs": ("f2fs", _f2fs_in_use),
    "swap of a hibernated system": ("swap", _patched(4086, b"S1SUSPEND\0")),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_whole_when_told_to(
    state: tuple[str, Callable[[Path], None]], agent: Agent, room: Path, tree: Path
) -> None:
    content, change = state
    path = disk(room, 104)
    MAKERS[content](path, 512, tree)
    change(path)
    error = agent("backup", path, "--name", "pc").failed("source_refused")
    assert "--unclean whole" in error["remedy"]
    assert saved(agent, path) == ("whole", 104 * MIB - 512)
    assert hash_of(restored(agent, room, path)) == hash_of(path)


@pytest.mark.parametrize("content", ["xfs", "btrfs"])
def test_logs_are_not_guessed_at(content: str, agent: Agent, room: Path, tree: Path) -> None:
    path = disk(room, 320 if content == "xfs" else 160)
    MAKERS[content](path, 512, tree)
    with crash(path, tree) as (point, copy):
        shutil.copytree(tree, point / "late")
    assert saved(agent, copy)[0] == "whole"
    assert hash_of(restored(agent, room, copy)) == hash_of(copy)


def test_what_is_refused_for_another_reason_stays_refused(agent: Agent, room: Path) -> None:
    paths = [room / "journal", room / "ext4"]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(32 * MIB)
    with attached(paths[0]) as journal:
        sh("mkfs.ext4", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal)
        sh("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", f"device={journal}", paths[1])
    error = agent("backup", paths[1], "--name", "pc", "--unclean", "whole")
    assert "another device" in error.failed("source_refused")["message"]


def test_journal_beside_a_hibernated_system(agent: Agent, room: Path, tree: Path) -> None:
    """Its memory may know of blocks in use that no journal knows."""
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(80 * MIB)
    lines = "label: gpt\nstart=1MiB, size=60MiB\nstart=62MiB, size=8MiB\n"
    sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", path, input=lines)
    root = disk(room, 60)
    make_ext("ext4")(root, 512, tree)
    with crash(root, tree) as (point, copy):
        (point / "late").write_bytes(b"late" * 5000)
    swap = room / "swap"
    with swap.open("wb") as file:
        file.truncate(8 * MIB)
    swap.chmod(0o600)
    sh("mkswap", swap)
    for content, at in ((copy, 1), (swap, 62)):
        sh("dd", f"if={content}", f"of={path}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")

    def methods() -> list[str]:
        parts = agent("probe", path, "--unclean", "whole").ok()["disks"][0]["partitions"]
        return [part["method"] for part in parts]

    assert methods() == ["used", "swap"]
    _patched(62 * MIB + 4086, b"S1SUSPEND\0")(path)
    assert methods() == ["whole", "whole"]
    agent("backup", path, "--name", "pc", "--unclean", "whole").ok()
    target = restored(agent, room, path)
    assert target.read_bytes()[MIB : 70 * MIB] == path.read_bytes()[MIB : 70 * MIB]
