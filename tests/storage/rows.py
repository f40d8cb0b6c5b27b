# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the README's table that a test of its own proves, each with that test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row that a test of its own proves."""

    content: str
    shape: str
    test: str
    method: str = "refused; whole with `--whole`"
    checks: str = "sha256"


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
