# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of contents: how each is made, saved and checked. The README's table is made from it.

A case is proven by a test that runs exactly what it says: see `proof.py`.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import containers, readers
from .disk_builder import make_ext, make_fat, make_noise, sh
from .makers import (
    Maker,
    compressed_and_sparse,
    filled_by_mount,
    make_fragmented_reiserfs,
    make_ntfs,
    make_reflinked_xfs,
    make_reiserfs,
    make_snapshots,
    make_swap,
    make_text_in_zeros,
    make_tiny_files,
)


@dataclass(frozen=True)
class Case:
    """One row: a content of some shape."""

    id: str
    shape: str
    make: Maker
    _: KW_ONLY
    content: str
    """By blkid's names, as the agent shows it."""
    method: str = "used"
    checks: tuple[str, ...]
    """Names in `checks.py`; bytes of all used ranges are compared in any case."""
    size: int = 64
    """MiB."""
    sector: int = 512
    used: Callable[[Path], list[tuple[int, int]]] = readers.whole
    """The used ranges, found without the agent's code."""
    key: bytes | None = None
    """The passphrase that the agent is given."""
    guest: bool = False
    """Whether it needs the environment's kernel."""

    @property
    def test(self) -> str:
        """Where it is proven."""
        return f"{'guest/' if self.guest else ''}test_file_systems.py [{self.id}]"


# What the cases of one content have in common.
_ext = partial(Case, checks=("e2fsck", "files"), used=readers.ext)
_ext4 = partial(_ext, content="ext4")
_xfs = partial(
    Case, content="xfs", checks=("xfs_repair", "files"), size=320, used=readers.partclone("xfs")
)
_btrfs = partial(
    Case,
    content="btrfs",
    checks=("btrfs check", "btrfs scrub", "files"),
    size=160,
    used=readers.btrfs,
)
_ntfs = partial(
    Case, content="ntfs", checks=("ntfsresize", "files"), used=readers.partclone("ntfs")
)
_fat = partial(Case, content="vfat", checks=("fsck.vfat", "mcopy"), used=readers.fat)
_f2fs = partial(Case, content="f2fs")
_reiserfs = partial(
    Case,
    content="reiserfs",
    checks=("reiserfsck", "files"),
    used=readers.reiserfs,
    guest=True,
)
_swap = partial(Case, content="swap", method="swap", checks=("blkid",))
_lvm = partial(Case, content="LVM2_member", checks=("lvm",), used=containers.used_linear)
_luks = partial(Case, content="crypto_LUKS")
_open = partial(_luks, key=containers.PASSPHRASE, guest=True)
_unknown = partial(Case, content="unknown", method="whole", checks=("sha256",))

CASES = (
    _ext("ext2-1k", "1 KiB blocks", make_ext("ext2", "-b", "1024"), content="ext2"),
    _ext("ext3", "4 KiB blocks", make_ext("ext3", "-b", "4096"), content="ext3"),
    _ext4("ext4-1k", "1 KiB blocks", make_ext("ext4", "-b", "1024")),
    _ext4("ext4-2k", "2 KiB blocks", make_ext("ext4", "-b", "2048")),
    _ext4("ext4", "4 KiB blocks, 64bit", make_ext("ext4", "-b", "4096", "-O", "64bit")),
    _ext4(
        "ext4-no-64bit",
        "without 64bit, checksums and journal",
        make_ext("ext4", "-O", "^64bit,^metadata_csum,^has_journal"),
    ),
    _ext4(
        "ext4-64k",
        "64 KiB blocks",
        make_ext("ext4", "-b", "65536"),
        checks=("e2fsck", "debugfs rdump"),
        size=512,
    ),
    _ext4(
        "ext4-bigalloc",
        "bigalloc, 64 KiB clusters",
        make_ext("ext4", "-O", "bigalloc", "-C", "65536"),
    ),
    _ext4("ext4-inline", "inline data, 512-byte inodes", make_tiny_files),
    _ext4("ext4-4kn", "disk of 4096-byte sectors", make_ext("ext4", "-b", "4096"), sector=4096),
    _xfs("xfs", "default", filled_by_mount("mkfs.xfs", "-q")),
    _xfs("xfs-1k", "1 KiB blocks", filled_by_mount("mkfs.xfs", "-q", "-b", "size=1024")),
    _xfs(
        "xfs-reflink", "reflink, rmap, disk of 4096-byte sectors", make_reflinked_xfs, sector=4096
    ),
    _xfs(
        "xfs-nrext64",
        "large extent counters",
        filled_by_mount("mkfs.xfs", "-q", "-i", "nrext64=1"),
    ),
    _btrfs("btrfs-dup", "metadata DUP", filled_by_mount("mkfs.btrfs", "-q", "-m", "dup")),
    _btrfs(
        "btrfs-dup-data",
        "data and metadata DUP",
        filled_by_mount("mkfs.btrfs", "-q", "-m", "dup", "-d", "dup"),
        size=320,
    ),
    _btrfs(
        "btrfs-single",
        "all single",
        filled_by_mount("mkfs.btrfs", "-q", "-m", "single", "-d", "single"),
    ),
    _btrfs("btrfs-mixed", "mixed block groups", filled_by_mount("mkfs.btrfs", "-q", "--mixed")),
    _btrfs(
        "btrfs-64k",
        "BLAKE2b checksums, nodes of 64 KiB",
        filled_by_mount("mkfs.btrfs", "-q", "--csum", "blake2", "-n", "65536"),
    ),
    _btrfs(
        "btrfs-snapshots",
        "compressed, with snapshots of what was deleted",
        make_snapshots,
        size=300,
    ),
    _ntfs("ntfs-512", "512-byte clusters", make_ntfs("-c", 512)),
    _ntfs(
        "ntfs",
        "4 KiB clusters; compressed and sparse files",
        make_ntfs("-c", 4096, also=compressed_and_sparse),
        size=100,
    ),
    _ntfs("ntfs-64k", "64 KiB clusters", make_ntfs("-c", 65536)),
    _ntfs("ntfs-256k", "256 KiB clusters", make_ntfs("-c", 256 * 1024), size=300),
    _ntfs("ntfs-4kn", "disk of 4096-byte sectors", make_ntfs(), sector=4096),
    _fat("fat12", "FAT12", make_fat("-F", "12"), size=12),
    _fat(
        "fat12-4kn",
        "FAT12, disk of 4096-byte sectors",
        make_fat("-F", "12"),
        size=15,
        sector=4096,
    ),
    _fat("fat16", "FAT16", make_fat("-F", "16"), size=30),
    _fat("fat32", "FAT32", make_fat("-F", "32")),
    _fat(
        "fat32-one",
        "FAT32, one FAT, 64 reserved sectors",
        make_fat("-F", "32", "-f", "1", "-R", "64"),
    ),
    _fat(
        "fat32-4kn",
        "FAT32, disk of 4096-byte sectors",
        make_fat("-F", "32"),
        size=280,
        sector=4096,
    ),
    Case(
        "exfat",
        "default",
        filled_by_mount("mkfs.exfat", kind="exfat"),
        content="exfat",
        checks=("fsck.exfat", "files"),
        size=32,
        used=readers.partclone("exfat"),
        guest=True,
    ),
    _f2fs(
        "f2fs",
        "default",
        filled_by_mount("mkfs.f2fs", "-q", kind="f2fs"),
        checks=("fsck.f2fs", "files"),
        size=104,
        used=readers.partclone("f2fs"),
        guest=True,
    ),
    _f2fs(
        "f2fs-small",
        "below 100 MiB",
        lambda path, *_: sh("mkfs.f2fs", "-q", path),
        method="whole",
        checks=("sha256", "fsck.f2fs"),
    ),
    _reiserfs("reiserfs", "4 KiB blocks, fragmented", make_fragmented_reiserfs, size=56),
    _reiserfs("reiserfs-1k", "1 KiB blocks", make_reiserfs(1024), size=40),
    _swap(
        "swap", "4 KiB pages, label", make_swap("-L", "swap-label"), used=readers.first_page(4096)
    ),
    _swap("swap-64k", "64 KiB pages", make_swap("-p", 65536), used=readers.first_page(65536)),
    _lvm(
        "lvm",
        "volumes in one piece: ext4, swap, unknown",
        containers.make_linear(pieces=False),
        size=48,
    ),
    _lvm(
        "lvm-pieces",
        "volume in two pieces",
        containers.make_linear(pieces=True),
        size=56,
        guest=True,
    ),
    _luks(
        "luks",
        "no passphrase given",
        lambda path, *_: containers.luks_format(path),
        method="whole",
        checks=("sha256",),
        size=20,
    ),
    _open(
        "luks1",
        "LUKS1, passphrase given: ext4",
        containers.make_luks("--type", "luks1"),
        checks=("luks: e2fsck, files",),
        size=48,
        used=containers.used_luks(readers.ext),
    ),
    _open(
        "luks2",
        "LUKS2, 4096-byte sectors, passphrase given: ext4",
        containers.make_luks("--type", "luks2", "--sector-size", 4096),
        checks=("luks: e2fsck, files",),
        used=containers.used_luks(readers.ext),
        key=containers.PASSPHRASE + b"\n",
    ),
    _open(
        "luks-lvm",
        "LUKS2, passphrase given: LVM with ext4 and swap",
        containers.make_luks("--type", "luks2", lvm_inside=True),
        checks=("luks: lvm",),
        size=72,
        used=containers.used_luks(containers.used_linear),
    ),
    Case(
        "jfs",
        "default",
        lambda path, *_: sh("mkfs.jfs", "-q", path),
        content="jfs",
        method="whole",
        checks=("sha256", "jfs_fsck"),
    ),
    _unknown("unknown", "noise, and cells of zeros", make_noise),
    _unknown("zeros", "zeros", make_text_in_zeros),
)


def find(guest: bool) -> list[Case]:
    """The cases of one side."""
    return [case for case in CASES if case.guest == guest]


def rows(cases: list[Case], slow: set[str]) -> list[Any]:
    """The cases as parameters of a test; those named in `slow` wait for `make test-slow`."""
    assert slow <= {case.id for case in cases}
    marks = {case.id: [pytest.mark.slow] if case.id in slow else [] for case in cases}
    return [pytest.param(case, marks=marks[case.id], id=case.id) for case in cases]
