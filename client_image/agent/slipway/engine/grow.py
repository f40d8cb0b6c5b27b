# SPDX-License-Identifier: GPL-3.0-or-later
"""Growing a file system into its partition, once the restore is complete and synced."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from slipway.engine.errors import SlipwayError, TargetRefused, ToolError
from slipway.engine.loop import writable_loop
from slipway.engine.run import PACKAGES, run
from slipway.format import Segment

# e2fsck: 0 is clean, 1 is mended.
_E2FSCK_OK = (0, 1)
# The kernel changes no size of btrfs below this.
BTRFS_FLOOR = 256 << 20


def growable(name: str, segment: Segment) -> None:
    """Refuse what can't grow, and what this machine lacks the programs for."""
    if segment.method == "swap":
        return
    kind = segment.content
    if kind not in _GROWERS or segment.method != "used":
        why = (
            "was saved whole, so that nobody knows its state"
            if kind in _GROWERS
            else (_REASONS.get(kind, "is none of ext2, ext3, ext4, XFS, btrfs, NTFS and swap"))
        )
        raise TargetRefused(
            f"{name} of the image ({kind}) can't grow: it {why}",
            "name another partition with --grow, or restore without it",
        )
    _, programs = _GROWERS[kind]
    for program in programs:
        if shutil.which(program) is None:
            raise ToolError(
                f"the program {program} is missing, which makes {kind} larger",
                f"install the package {PACKAGES.get(program, program)}, or restore without --grow",
            )


def check_growth(name: str, segment: Segment, size: int) -> None:
    """Refuse a size, in bytes, that the file system can't grow to."""
    if segment.content == "btrfs" and size < BTRFS_FLOOR:
        raise TargetRefused(
            f"{name} of the image (btrfs) can't grow to {size} bytes: the kernel changes no size "
            f"of btrfs below {BTRFS_FLOOR}",
            "restore it without --grow",
        )


def grow(disk: Path, sector: int, segment: Segment, end: int) -> None:
    """Make the file system of a partition as large as the partition, which ends at byte `end`."""
    grower, _ = _GROWERS[segment.content]
    try:
        with writable_loop(disk, segment.offset, end - segment.offset, sector) as device:
            grower(device)
    except SlipwayError as error:
        raise type(error)(
            f"{disk} is restored and complete, and partition {segment.id} has its new size, but "
            f"its file system did not grow: {error.message}",
            "grow it in its own system, or restore again",
        ) from error


def _ext(device: Path) -> None:
    # resize2fs refuses a file system that was not checked since it was last mounted.
    run(["e2fsck", "-f", "-p", str(device)], ok=_E2FSCK_OK)
    run(["resize2fs", str(device)])


def _ntfs(device: Path) -> None:
    # It asks before it begins, and marks the volume for Windows to check at its next start.
    run(["ntfsresize", "--force", "--force", "--no-progress-bar", str(device)])


def _xfs(device: Path) -> None:
    # A twin of this file system may be in the machine: the same UUID is no error here.
    with mounted_unseen(device, "xfs", "nouuid") as point:
        run(["xfs_growfs", "-d", str(point)])


def _btrfs(device: Path) -> None:
    with mounted_unseen(device, "btrfs", "defaults") as point:
        run(["btrfs", "filesystem", "resize", "max", str(point)])


@contextmanager
def mounted_unseen(device: Path, kind: str, options: str) -> Generator[Path, None, None]:
    """The file system mounted where nobody else looks; XFS and btrfs grow in no other state."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        point = Path(folder)
        run(["mount", "-t", kind, "-o", f"{options},nodev,nosuid,noexec", str(device), folder])
        try:
            yield point
        finally:
            run(["umount", folder])


_GROWERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "ext2": (_ext, ("e2fsck", "resize2fs")),
    "ext3": (_ext, ("e2fsck", "resize2fs")),
    "ext4": (_ext, ("e2fsck", "resize2fs")),
    "ntfs": (_ntfs, ("ntfsresize",)),
    "xfs": (_xfs, ("mount", "xfs_growfs")),
    "btrfs": (_btrfs, ("mount", "btrfs")),
}
_REASONS = {
    "vfat": "is FAT, and no well-kept program makes FAT larger",
    "exfat": "is exFAT, and no program makes exFAT larger",
}
