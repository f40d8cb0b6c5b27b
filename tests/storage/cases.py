# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of contents: how each is made, saved and checked. The README's table is made from it.

A row is proven by a test that runs exactly what the row says: see `run_case`.
"""

import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import containers
import readers
from disk_builder import (
    MIB,
    attached,
    contents,
    device_link,
    fill_mounted,
    make_ext,
    make_fat,
    make_noise,
    mounted,
    sh,
    sha256,
)

Maker = Callable[[Path, int, Path], None]


@dataclass(frozen=True)
class Case:
    """One row: a content of some shape."""

    id: str
    content: str
    """By blkid's names, as the agent shows it."""
    shape: str
    make: Maker
    method: str = "used"
    checks: tuple[str, ...] = ()
    """Names in `CHECKS`; bytes of all used ranges are compared in any case."""
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


@dataclass(frozen=True)
class Row:
    """One row that a test of its own proves."""

    content: str
    shape: str
    test: str
    method: str = "refused; whole with `--whole`"
    checks: str = "sha256"


def _filled_by_mount(*mkfs: object, kind: str = "auto", sector: str = "") -> Maker:
    """`mkfs ... PATH`, then the tree is copied in through the kernel."""

    def make(path: Path, size: int, tree: Path) -> None:
        words = [each.format(sector=size) if isinstance(each, str) else each for each in mkfs]
        sh(*words, path)
        with attached(path, size) as device:
            fill_mounted(device_link(device, path), tree, "-t", kind)

    return make


def _reiserfs(block: int) -> Maker:
    return _filled_by_mount("mkreiserfs", "-q", "-f", "-f", "-b", block, kind="reiserfs")


def _fragmented_reiserfs(path: Path, sector: int, tree: Path) -> None:
    """Every other one of many small files is deleted again."""
    _reiserfs(4096)(path, sector, tree)
    chance = random.Random(11)
    with attached(path) as device, mounted(device_link(device, path), "-t", "reiserfs") as point:
        for number in range(200):
            (point / f"f{number}").write_bytes(chance.randbytes(chance.randrange(1, 20_000)))
        sh("sync", "-f", point)
        for number in range(0, 200, 2):
            (point / f"f{number}").unlink()


def _tiny_files(path: Path, sector: int, tree: Path) -> None:
    """Files that fit into their inodes."""
    folder = path.with_name("tiny")
    shutil.copytree(tree, folder)
    for number in range(200):
        (folder / f"tiny{number}").write_text(f"{number}" * 9)
    make_ext("ext4", "-O", "inline_data", "-I", "512")(path, sector, folder)
    shutil.rmtree(folder)


def _reflinked_xfs(path: Path, sector: int, tree: Path) -> None:
    options = "reflink=1,rmapbt=1"
    _filled_by_mount("mkfs.xfs", "-q", "-s", "size={sector}", "-m", options)(path, sector, tree)
    with attached(path, sector) as device, mounted(device_link(device, path)) as point:
        sh("cp", "--reflink=always", point / "tree/random", point / "shared")
        with (point / "shared").open("r+b") as file:
            file.seek(MIB)
            file.write(b"no longer shared" * 1000)


def _snapshots(path: Path, sector: int, tree: Path) -> None:
    """Several rounds, for trees of several levels: partclone loses a block in one of three."""
    _filled_by_mount("mkfs.btrfs", "-q")(path, sector, tree)
    options = ("-o", "compress-force=zstd")
    with attached(path) as device, mounted(device_link(device, path), *options) as point:
        for number in range(4):
            origin = point / f"origin{number}"
            sh("btrfs", "-q", "subvolume", "create", origin)
            shutil.copytree(tree, origin / "tree")
            sh("btrfs", "-q", "subvolume", "snapshot", origin, point / f"snapshot{number}")
            shutil.rmtree(origin / "tree")
            sh("sync", "-f", point)


def _ntfs(*options: object, also: Callable[[Path, Path], None] | None = None) -> Maker:
    def make(path: Path, sector: int, tree: Path) -> None:
        sh("mkfs.ntfs", "-q", "-F", "-Q", "-s", sector, *options, path)
        with mounted(path, "-t", "ntfs-3g", "-o", "compression") as point:
            shutil.copytree(tree, point / "tree")
            if also is not None:
                also(point, tree)

    return make


def _compressed_and_sparse(point: Path, tree: Path) -> None:
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


def _swap(*options: object) -> Maker:
    def make(path: Path, sector: int, tree: Path) -> None:
        path.chmod(0o600)
        sh("mkswap", *options, path)
        with path.open("r+b") as file:
            file.seek(4 * MIB)
            file.write(random.Random(2).randbytes(MIB))

    return make


def _text_in_zeros(path: Path, sector: int, tree: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"a vendor's own format" * 99)


EXT = ("e2fsck", "files")
CASES = (
    Case("ext2-1k", "ext2", "1 KiB blocks", make_ext("ext2", "-b", "1024"), "used", EXT,
         used=readers.ext),
    Case("ext3", "ext3", "4 KiB blocks", make_ext("ext3", "-b", "4096"), "used", EXT,
         used=readers.ext),
    Case("ext4-1k", "ext4", "1 KiB blocks", make_ext("ext4", "-b", "1024"), "used", EXT,
         used=readers.ext),
    Case("ext4-2k", "ext4", "2 KiB blocks", make_ext("ext4", "-b", "2048"), "used", EXT,
         used=readers.ext),
    Case("ext4", "ext4", "4 KiB blocks, 64bit", make_ext("ext4", "-b", "4096", "-O", "64bit"),
         "used", EXT, used=readers.ext),
    Case("ext4-no-64bit", "ext4", "without 64bit, checksums and journal",
         make_ext("ext4", "-O", "^64bit,^metadata_csum,^has_journal"), "used", EXT,
         used=readers.ext),
    Case("ext4-64k", "ext4", "64 KiB blocks", make_ext("ext4", "-b", "65536"), "used",
         ("e2fsck", "debugfs rdump"), 512, used=readers.ext),
    Case("ext4-bigalloc", "ext4", "bigalloc, 64 KiB clusters",
         make_ext("ext4", "-O", "bigalloc", "-C", "65536"), "used", EXT, used=readers.ext),
    Case("ext4-inline", "ext4", "inline data, 512-byte inodes", _tiny_files, "used", EXT,
         used=readers.ext),
    Case("ext4-4kn", "ext4", "disk of 4096-byte sectors", make_ext("ext4", "-b", "4096"), "used",
         EXT, sector=4096, used=readers.ext),
    Case("xfs", "xfs", "default", _filled_by_mount("mkfs.xfs", "-q"), "used",
         ("xfs_repair", "files"), 320, used=readers.partclone("xfs")),
    Case("xfs-1k", "xfs", "1 KiB blocks", _filled_by_mount("mkfs.xfs", "-q", "-b", "size=1024"),
         "used", ("xfs_repair", "files"), 320, used=readers.partclone("xfs")),
    Case("xfs-reflink", "xfs", "reflink, rmap, disk of 4096-byte sectors", _reflinked_xfs, "used",
         ("xfs_repair", "files"), 320, 4096, readers.partclone("xfs")),
    Case("xfs-nrext64", "xfs", "large extent counters", _filled_by_mount(
         "mkfs.xfs", "-q", "-i", "nrext64=1"), "used", ("xfs_repair", "files"), 320,
         used=readers.partclone("xfs")),
    Case("btrfs-dup", "btrfs", "metadata DUP", _filled_by_mount("mkfs.btrfs", "-q", "-m", "dup"),
         "used", ("btrfs check", "btrfs scrub", "files"), 160, used=readers.btrfs),
    Case("btrfs-dup-data", "btrfs", "data and metadata DUP",
         _filled_by_mount("mkfs.btrfs", "-q", "-m", "dup", "-d", "dup"),
         "used", ("btrfs check", "btrfs scrub", "files"), 320, used=readers.btrfs),
    Case("btrfs-single", "btrfs", "all single",
         _filled_by_mount("mkfs.btrfs", "-q", "-m", "single", "-d", "single"), "used",
         ("btrfs check", "btrfs scrub", "files"), 160, used=readers.btrfs),
    Case("btrfs-mixed", "btrfs", "mixed block groups",
         _filled_by_mount("mkfs.btrfs", "-q", "--mixed"), "used",
         ("btrfs check", "btrfs scrub", "files"), 160, used=readers.btrfs),
    Case("btrfs-64k", "btrfs", "BLAKE2b checksums, nodes of 64 KiB",
         _filled_by_mount("mkfs.btrfs", "-q", "--csum", "blake2", "-n", "65536"), "used",
         ("btrfs check", "btrfs scrub", "files"), 160, used=readers.btrfs),
    Case("btrfs-snapshots", "btrfs", "compressed, with snapshots of what was deleted",
         _snapshots, "used", ("btrfs check", "btrfs scrub", "files"), 300, used=readers.btrfs),
    Case("ntfs-512", "ntfs", "512-byte clusters", _ntfs("-c", 512), "used",
         ("ntfsresize", "files"), used=readers.partclone("ntfs")),
    Case("ntfs", "ntfs", "4 KiB clusters; compressed and sparse files",
         _ntfs("-c", 4096, also=_compressed_and_sparse), "used", ("ntfsresize", "files"), 100,
         used=readers.partclone("ntfs")),
    Case("ntfs-64k", "ntfs", "64 KiB clusters", _ntfs("-c", 65536), "used",
         ("ntfsresize", "files"), used=readers.partclone("ntfs")),
    Case("ntfs-256k", "ntfs", "256 KiB clusters", _ntfs("-c", 256 * 1024), "used",
         ("ntfsresize", "files"), 300, used=readers.partclone("ntfs")),
    Case("ntfs-4kn", "ntfs", "disk of 4096-byte sectors", _ntfs(), "used",
         ("ntfsresize", "files"), sector=4096, used=readers.partclone("ntfs")),
    Case("fat12", "vfat", "FAT12", make_fat("-F", "12"), "used", ("fsck.vfat", "mcopy"), 12,
         used=readers.fat),
    Case("fat12-4kn", "vfat", "FAT12, disk of 4096-byte sectors", make_fat("-F", "12"), "used",
         ("fsck.vfat", "mcopy"), 15, 4096, readers.fat),
    Case("fat16", "vfat", "FAT16", make_fat("-F", "16"), "used", ("fsck.vfat", "mcopy"), 30,
         used=readers.fat),
    Case("fat32", "vfat", "FAT32", make_fat("-F", "32"), "used", ("fsck.vfat", "mcopy"),
         used=readers.fat),
    Case("fat32-one", "vfat", "FAT32, one FAT, 64 reserved sectors",
         make_fat("-F", "32", "-f", "1", "-R", "64"), "used", ("fsck.vfat", "mcopy"),
         used=readers.fat),
    Case("fat32-4kn", "vfat", "FAT32, disk of 4096-byte sectors", make_fat("-F", "32"), "used",
         ("fsck.vfat", "mcopy"), 280, 4096, readers.fat),
    Case("exfat", "exfat", "default", _filled_by_mount("mkfs.exfat", kind="exfat"), "used",
         ("fsck.exfat", "files"), 32, used=readers.partclone("exfat"), guest=True),
    Case("f2fs", "f2fs", "default", _filled_by_mount("mkfs.f2fs", "-q", kind="f2fs"), "used",
         ("fsck.f2fs", "files"), 104, used=readers.partclone("f2fs"), guest=True),
    Case("f2fs-small", "f2fs", "below 100 MiB", lambda path, *_: sh("mkfs.f2fs", "-q", path),
         "whole", ("sha256", "fsck.f2fs")),
    Case("reiserfs", "reiserfs", "4 KiB blocks, fragmented", _fragmented_reiserfs, "used",
         ("reiserfsck", "files"), 56, used=readers.reiserfs, guest=True),
    Case("reiserfs-1k", "reiserfs", "1 KiB blocks", _reiserfs(1024), "used",
         ("reiserfsck", "files"), 40, used=readers.reiserfs, guest=True),
    Case("swap", "swap", "4 KiB pages, label", _swap("-L", "swap-label"), "swap",
         ("blkid",), used=readers.first_page(4096)),
    Case("swap-64k", "swap", "64 KiB pages", _swap("-p", 65536), "swap", ("blkid",),
         used=readers.first_page(65536)),
    Case("lvm", "LVM2_member", "volumes in one piece: ext4, swap, unknown",
         containers.make_linear(pieces=False), "used", ("lvm",), 48,
         used=containers.used_linear),
    Case("lvm-pieces", "LVM2_member", "volume in two pieces",
         containers.make_linear(pieces=True), "used", ("lvm",), 56,
         used=containers.used_linear, guest=True),
    Case("luks", "crypto_LUKS", "no passphrase given",
         lambda path, *_: containers.luks_format(path), "whole", ("sha256",), 20),
    Case("luks1", "crypto_LUKS", "LUKS1, passphrase given: ext4",
         containers.make_luks("--type", "luks1"), "used", ("luks: e2fsck, files",), 48,
         used=containers.used_luks(readers.ext), key=containers.PASSPHRASE, guest=True),
    Case("luks2", "crypto_LUKS", "LUKS2, 4096-byte sectors, passphrase given: ext4",
         containers.make_luks("--type", "luks2", "--sector-size", 4096), "used",
         ("luks: e2fsck, files",), 64, used=containers.used_luks(readers.ext),
         key=containers.PASSPHRASE + b"\n", guest=True),
    Case("luks-lvm", "crypto_LUKS", "LUKS2, passphrase given: LVM with ext4 and swap",
         containers.make_luks("--type", "luks2", lvm_inside=True), "used", ("luks: lvm",), 72,
         used=containers.used_luks(containers.used_linear), key=containers.PASSPHRASE,
         guest=True),
    Case("jfs", "jfs", "default", lambda path, *_: sh("mkfs.jfs", "-q", path), "whole",
         ("sha256", "jfs_fsck")),
    Case("unknown", "unknown", "noise, and cells of zeros", make_noise, "whole", ("sha256",)),
    Case("zeros", "unknown", "zeros", _text_in_zeros, "whole", ("sha256",)),
)  # fmt: skip

_FAT, _USED = "test_fat.py", ("used blocks", "mcopy")
_CLEANLY = "test_contents.py test_journal_that_needs_recovery"
ROWS = (
    Row("ext4", "journal needs recovery", _CLEANLY),
    Row("ext4", "journal on another device", "test_contents.py test_external_journal"),
    Row("ext4", "marked as not clean", "test_contents.py test_ext4_with_errors"),
    Row(
        "ext3",
        "ext4, too: journal needs recovery, with `--unclean whole`",
        "test_unclean.py test_journal_is_part_of_the_map",
        "used blocks before and after its replay",
        "mount, e2fsck, files",
    ),
    Row(
        "ext4",
        "fast commits need recovery, with `--unclean whole`",
        "test_unclean.py test_fast_commits",
        "whole",
    ),
    Row(
        "any",
        "not clean, or hibernated, with `--unclean whole`",
        "test_unclean.py test_whole_when_told_to",
        "whole",
    ),
    Row(
        "any",
        "a program fails, crashes or says what can't be read",
        "test_failing_programs.py test_program_that",
    ),
    Row(
        "ext4",
        "a feature that is not known",
        "test_failing_programs.py test_ext4_with_a_feature_of_the_future",
    ),
    Row("xfs", "inodes of version 1", "test_failing_programs.py test_xfs_of_the_first_kind"),
    Row(
        "ext4",
        "bad blocks",
        "test_contents.py test_bad_blocks_of_ext4",
        "used blocks, bad ones are not read",
        "e2fsck, files",
    ),
    Row("xfs", "log needs recovery", _CLEANLY),
    Row("xfs", "needs a repair", "test_contents.py test_xfs_that_needs_a_repair"),
    Row("btrfs", "log needs recovery", _CLEANLY),
    Row("btrfs", "several devices", "test_contents.py test_btrfs_over_two_devices"),
    Row("ntfs", "`$LogFile` is open", "test_contents.py test_windows_with_an_open_log"),
    Row(
        "ntfs",
        "bad clusters",
        "test_contents.py test_bad_clusters_of_windows",
        "used blocks, bad ones are not read",
        "ntfsresize, files",
    ),
    Row("ntfs", "dirty", "test_contents.py test_dirty_windows"),
    Row("ntfs", "hibernated", "test_contents.py test_hibernated_windows"),
    Row(
        "vfat", "FAT16, FAT32; not unmounted", f"{_FAT} test_volume_that_was_not_unmounted", *_USED
    ),
    Row(
        "vfat",
        "FAT32 without mirroring, either table in use",
        f"{_FAT} test_tables_that_are_no_mirrors",
        *_USED,
    ),
    Row(
        "vfat",
        "FAT12, FAT16; boot sector of DOS 3",
        f"{_FAT} test_boot_sector_of_an_old_system",
        *_USED,
    ),
    Row(
        "vfat",
        "bad clusters",
        f"{_FAT} test_bad_clusters_are_not_read",
        "used blocks, bad ones are not read",
        "mcopy",
    ),
    Row("exfat", "dirty", "test_contents.py test_dirty_exfat"),
    Row(
        "exfat",
        "bad clusters",
        "test_contents.py test_bad_clusters_of_exfat",
        "used blocks, bad ones are not read",
        "bytes",
    ),
    Row(
        "f2fs",
        "not unmounted, or in need of a check",
        "test_contents.py test_f2fs_that_is_in_doubt",
    ),
    Row("f2fs", "several devices", "test_contents.py test_f2fs_over_two_devices"),
    Row(
        "hfsplus",
        "not unmounted, or journal not empty",
        "test_contents.py test_hfsplus_that_is_open",
    ),
    Row("reiserfs", "not clean", "test_contents.py test_reiserfs_that_is_not_clean"),
    Row("reiserfs", "asks for a check", "test_contents.py test_reiserfs_that_asks_for_a_check"),
    Row(
        "reiserfs",
        "journal on another device",
        "test_contents.py test_reiserfs_with_a_journal_elsewhere",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, metadata 0.90, 1.0, 1.1, 1.2: ext4",
        "guest/test_raid.py test_mirror",
        "used blocks inside the array",
        "mdadm, /proc/mdstat, e2fsck, files",
    ),
    Row(
        "linux_raid_member",
        "RAID 1: ext3, XFS, btrfs, NTFS, FAT16, swap",
        "test_mirrors.py test_any_file_system_in_a_mirror",
        "used blocks inside the array",
        "mdadm, checker of each, files",
    ),
    Row(
        "linux_raid_member",
        "RAID 1: LVM with ext4, swap, unknown",
        "test_mirrors.py test_volumes_in_a_mirror",
        "used blocks inside the array",
        "mdadm, bytes",
    ),
    Row(
        "linux_raid_member",
        "RAID 1: partition table, LUKS, unknown",
        "test_mirrors.py test_what_is_whole_in_a_mirror",
        "whole",
        "mdadm, sha256",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, partitions and a disk without a table",
        "test_mirrors.py test_members_in_partitions_of_one_disk_and_a_whole_disk",
        "used blocks inside the array",
        "mdadm, e2fsck",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, blocks in use differ",
        "test_mirrors.py test_members_that_differ_where_something_is_in_use",
        "what is in use by any member",
        "bytes",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, degraded, stale, running, rebuilding, spare, bad blocks",
        "test_raid.py test_mirror_that_is_not_in_sync",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, only one of its disks",
        "test_raid.py test_one_disk_of_a_mirror",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, made with one disk",
        "guest/test_containers.py test_members_of_linux_raid_are_left_alone",
    ),
    Row(
        "linux_raid_member",
        "super block that can't be relied on",
        "test_raid.py test_damaged_super_block",
    ),
    Row(
        "linux_raid_member",
        "RAID 1, with the system and GRUB on it",
        "test_raid_boots.py test_a_system_on_a_mirror",
        "used blocks inside the array",
        "mdadm, the PC boots",
    ),
    Row(
        "linux_raid_member",
        "linear, RAID 0, 4, 5, 6, 10, all members",
        "test_raid.py test_other_levels_are_whole",
        "whole",
        "mdadm, sha256",
    ),
    Row(
        "linux_raid_member",
        "RAID 5 of three disks",
        "guest/test_raid.py test_level_5_whole",
        "whole",
        "mdadm, /proc/mdstat, e2fsck, files",
    ),
    Row(
        "isw_raid_member",
        "firmware RAID (imsm), all disks",
        "test_raid.py test_firmware_raid_with_all_its_disks",
        "whole",
        "sha256",
    ),
    Row(
        "isw_raid_member",
        "firmware RAID (imsm) that mdadm can't read, with the array's table in front",
        "test_containers.py test_firmware_raid_is_left_alone",
    ),
    Row(
        "ddf_raid_member",
        "firmware RAID (DDF), all disks",
        "guest/test_raid.py test_container_of_ddf",
        "whole",
        "sha256",
    ),
    Row("swap", "hibernated system", "test_contents.py test_hibernated_swap"),
    Row(
        "LVM2_member",
        "a volume is not clean",
        "test_containers.py test_dirty_file_system_in_a_logical_volume",
        "refused",
        "message",
    ),
    Row(
        "LVM2_member",
        "origin of a snapshot",
        "guest/test_containers.py test_origin_of_a_snapshot",
        "that volume whole",
        "e2fsck, files of origin and snapshot",
    ),
    Row(
        "LVM2_member",
        "thin pool",
        "guest/test_containers.py test_thin_pool",
        "that volume whole",
        "e2fsck, files",
    ),
    Row(
        "LVM2_member",
        "volume striped over two disks",
        "guest/test_containers.py test_striped_over_two_disks",
        "that volume whole",
        "e2fsck",
    ),
    Row(
        "LVM2_member",
        "of no group",
        "test_containers.py test_physical_volume_without_a_group",
        "whole",
        "reason",
    ),
    Row(
        "LVM2_member",
        "a part of a group, the rest is not there",
        "test_partition_types.py test_volume_group_over_two_disks",
    ),
    Row(
        "any",
        "in a dynamic disk of Windows, other disks of its group are not there",
        "test_partition_types.py test_group_of_dynamic_disks",
    ),
    Row(
        "any",
        "in a dynamic disk of Windows",
        "test_partition_types.py test_dynamic_disk",
        "whole",
        "sha256, ntfsresize",
    ),
    Row(
        "any",
        "left over in a partition for boot code, a reserved one and others",
        "test_partition_types.py test_what_is_left_over_does_not_count",
        "whole",
    ),
    Row(
        "ext4",
        "with dm-verity",
        "test_partition_types.py test_verified_file_system",
        "whole",
        "veritysetup verify",
    ),
    Row("BitLocker", "any", "test_containers.py test_bitlocker_is_saved_whole", "whole", "reason"),
    Row(
        "vfat",
        "in a partition of MBR type 12",
        "test_containers.py test_vendors_hidden_partition_is_saved_whole",
        "whole",
        "size",
    ),
)


def find(guest: bool) -> list[Case]:
    """The cases of one side."""
    return [case for case in CASES if case.guest == guest]


@contextmanager
def read_only(path: Path, sector: int) -> Iterator[Path]:
    """The file as a loop device that can't be written."""
    device = sh("losetup", "--find", "--show", "--read-only", "-b", sector, path).strip()
    try:
        yield device_link(Path(device), path)
    finally:
        sh("losetup", "-d", device)


def _files(path: Path, case: Case) -> dict[str, str]:
    kind = {"ntfs": "ntfs-3g", "vfat": "vfat"}.get(case.content, case.content)
    with read_only(path, case.sector) as device, mounted(device, "-t", kind, "-o", "ro") as point:
        return contents(point)


def _rdump(path: Path, case: Case) -> dict[str, str]:
    return _copied_out(path, "debugfs", "-R", f"rdump / {path}.out", path)


def _mcopy(path: Path, case: Case) -> dict[str, str]:
    return _copied_out(path, "mcopy", "-s", "-i", path, "::/*", f"{path}.out")


def _copied_out(path: Path, *command: object) -> dict[str, str]:
    out = Path(f"{path}.out")
    out.mkdir()
    sh(*command)
    found = contents(out)
    shutil.rmtree(out)
    return found


def _scrub(path: Path, case: Case) -> None:
    with attached(path, case.sector) as device, mounted(device_link(device, path)) as point:
        assert "no errors found" in (text := sh("btrfs", "scrub", "start", "-B", "-r", point)), text


def _on_device(*command: object) -> Callable[[Path, Case], None]:
    def run(path: Path, case: Case) -> None:
        with read_only(path, case.sector) as device:
            sh(*command, device)

    return run


# Run on the target. What a check returns has to be what it returns for the source.
CHECKS: dict[str, Callable[[Path, Case], object]] = {
    "blkid": lambda path, case: sh("blkid", "-p", "-o", "value", path),
    "btrfs check": _on_device("btrfs", "check", "--check-data-csum"),
    "btrfs scrub": _scrub,
    "debugfs rdump": _rdump,
    "e2fsck": _on_device("e2fsck", "-fn"),
    "files": _files,
    "fsck.exfat": _on_device("fsck.exfat", "-n"),
    "fsck.f2fs": lambda path, case: sh("fsck.f2fs", "--dry-run", path) and None,
    "fsck.vfat": _on_device("fsck.vfat", "-n"),
    "jfs_fsck": _on_device("jfs_fsck", "-n"),
    "lvm": lambda path, case: containers.check_linear(path),
    "luks: e2fsck, files": lambda path, case: containers.check_luks(containers.check_ext)(
        path, case.sector
    ),
    "luks: lvm": lambda path, case: containers.check_luks(containers.check_linear)(
        path, case.sector
    ),
    "mcopy": _mcopy,
    "ntfsresize": _on_device("ntfsresize", "--info", "--force", "--no-progress-bar"),
    "reiserfsck": lambda path, case: sh("reiserfsck", "--check", "-y", path) and None,
    "sha256": lambda path, case: sha256(path),
    "xfs_repair": _on_device("xfs_repair", "-n"),
}
