# SPDX-License-Identifier: GPL-3.0-or-later
"""How contents of the table are made, each in a file that stands for a disk."""

import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from .disk_builder import MIB, attached, device_link, fill_mounted, make_ext, mounted, sh

Maker = Callable[[Path, int, Path], None]
"""Takes the file, the sector size in bytes, and the files that go into it."""


def filled_by_mount(*mkfs: object, kind: str = "auto", sector: str = "") -> Maker:
    """`mkfs ... PATH`, then the tree is copied in through the kernel."""

    def make(path: Path, size: int, tree: Path) -> None:
        words = [each.format(sector=size) if isinstance(each, str) else each for each in mkfs]
        sh(*words, path)
        with attached(path, size) as device:
            fill_mounted(device_link(device, path), tree, "-t", kind)

    return make


def make_reiserfs(block: int) -> Maker:
    return filled_by_mount("mkreiserfs", "-q", "-f", "-f", "-b", block, kind="reiserfs")


def make_fragmented_reiserfs(path: Path, sector: int, tree: Path) -> None:
    """Every other one of many small files is deleted again."""
    make_reiserfs(4096)(path, sector, tree)
    chance = random.Random(11)
    with attached(path) as device, mounted(device_link(device, path), "-t", "reiserfs") as point:
        for number in range(200):
            (point / f"f{number}").write_bytes(chance.randbytes(chance.randrange(1, 20_000)))
        sh("sync", "-f", point)
        for number in range(0, 200, 2):
            (point / f"f{number}").unlink()


def make_tiny_files(path: Path, sector: int, tree: Path) -> None:
    """Files that fit into their inodes."""
    folder = path.with_name("tiny")
    shutil.copytree(tree, folder)
    for number in range(200):
        (folder / f"tiny{number}").write_text(f"{number}" * 9)
    make_ext("ext4", "-O", "inline_data", "-I", "512")(path, sector, folder)
    shutil.rmtree(folder)


def make_reflinked_xfs(path: Path, sector: int, tree: Path) -> None:
    options = "reflink=1,rmapbt=1"
    filled_by_mount("mkfs.xfs", "-q", "-s", "size={sector}", "-m", options)(path, sector, tree)
    with attached(path, sector) as device, mounted(device_link(device, path)) as point:
        sh("cp", "--reflink=always", point / "tree/random", point / "shared")
        with (point / "shared").open("r+b") as file:
            file.seek(MIB)
            file.write(b"no longer shared" * 1000)


def make_snapshots(path: Path, sector: int, tree: Path) -> None:
    """Several rounds, for trees of several levels: partclone loses a block in one of three."""
    filled_by_mount("mkfs.btrfs", "-q")(path, sector, tree)
    options = ("-o", "compress-force=zstd")
    with attached(path) as device, mounted(device_link(device, path), *options) as point:
        for number in range(4):
            origin = point / f"origin{number}"
            sh("btrfs", "-q", "subvolume", "create", origin)
            shutil.copytree(tree, origin / "tree")
            sh("btrfs", "-q", "subvolume", "snapshot", origin, point / f"snapshot{number}")
            shutil.rmtree(origin / "tree")
            sh("sync", "-f", point)


def make_ntfs(*options: object, also: Callable[[Path, Path], None] | None = None) -> Maker:
    def make(path: Path, sector: int, tree: Path) -> None:
        sh("mkfs.ntfs", "-q", "-F", "-Q", "-s", sector, *options, path)
        with mounted(path, "-t", "ntfs-3g", "-o", "compression") as point:
            shutil.copytree(tree, point / "tree")
            if also is not None:
                also(point, tree)

    return make


def compressed_and_sparse(point: Path, tree: Path) -> None:
    folder = point / "compressed"
    folder.mkdir()
    os.setxattr(folder, "system.ntfs_attrib", struct.pack("<I", 0x10 | 0x800))
    shutil.copytree(tree, folder / "tree")
    (flags,) = struct.unpack("<I", os.getxattr(folder / "tree/random", "system.ntfs_attrib"))
    assert flags & 0x800, "the file is not compressed"
    with (point / "sparse").open("wb") as file:
        for step in range(4):
            file.seek(step * 20 * MIB)
            file.write(b"island" * 1000)
    assert (point / "sparse").stat().st_blocks * 512 < 2 * MIB


def make_swap(*options: object) -> Maker:
    def make(path: Path, sector: int, tree: Path) -> None:
        path.chmod(0o600)
        sh("mkswap", *options, path)
        with path.open("r+b") as file:
            file.seek(4 * MIB)
            file.write(random.Random(2).randbytes(MIB))

    return make


def make_text_in_zeros(path: Path, sector: int, tree: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"a vendor's own format" * 99)
