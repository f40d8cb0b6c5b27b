# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that make file systems smaller: how small they can be, and doing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.errors import ToolError
from slipway.engine.grow import BTRFS_FLOOR, mounted_unseen
from slipway.engine.loop import writable_loop
from slipway.engine.run import run

# e2fsck: 0 is clean, 1 is mended.
_E2FSCK_OK = (0, 1)
_EXT_LEAST = re.compile(r"minimum size of the filesystem: (\d+)")
_EXT_BLOCK = re.compile(r"^Block size:\s+(\d+)", re.MULTILINE)
_EXT_COUNT = re.compile(r"^Block count:\s+(\d+)", re.MULTILINE)
_NTFS_LEAST = re.compile(r"You might resize at (\d+) bytes")
_NTFS_SIZE = re.compile(r"Current volume size\s*: (\d+) bytes")
_BTRFS_LEAST = re.compile(r"^(\d+) bytes")
# Bad sectors were those of another disk.
_NTFS_OPTIONS = ("--force", "--force", "--bad-sectors", "--no-progress-bar")


@dataclass(frozen=True)
class Tool:
    """How a kind of file system is made smaller. Sizes in bytes."""

    least: Callable[[Path, int], int]
    """The smallest size that it can have, as its own program says."""
    resize: Callable[[Path, int, int], None]
    """Give it a size.

    The last argument of both is the time to write into it, in seconds since 1970.
    """
    programs: Sequence[str]
    squeeze: Callable[[Path, int], bool] | None = None
    """Move its content together and give it a size below `least`; whether that worked."""
    repeats: bool = True
    """Whether the same bytes come out each time."""


def _number(pattern: re.Pattern[str], text: str, what: str) -> int:
    found = pattern.search(text)
    if found is None:
        raise ToolError(f"{what} does not say how small it can be")
    return int(found[1])


def _at(stamp: int) -> list[str]:
    """Programs of e2fsprogs take this for the time: e2fsck by its own name for it."""
    return ["env", f"E2FSPROGS_FAKE_TIME={stamp}", f"E2FSCK_TIME={stamp}"]


def _ext_least(path: Path, stamp: int) -> int:
    # resize2fs refuses a file system that was not checked since it was last mounted.
    run([*_at(stamp), "e2fsck", "-f", "-p", str(path)], ok=_E2FSCK_OK)
    block = _number(_EXT_BLOCK, run(["dumpe2fs", "-h", str(path)]).stdout, "dumpe2fs")
    return block * _number(_EXT_LEAST, run(["resize2fs", "-P", str(path)]).stdout, "resize2fs")


def _ext_resize(path: Path, size: int, stamp: int) -> None:
    head = run(["dumpe2fs", "-h", str(path)]).stdout
    block = _number(_EXT_BLOCK, head, "dumpe2fs")
    if block * _number(_EXT_COUNT, head, "dumpe2fs") <= size:
        return
    run([*_at(stamp), "resize2fs", str(path), f"{size // 1024}K"])


def _ntfs_info(path: Path) -> str:
    return run(["ntfsresize", "--info", *_NTFS_OPTIONS, str(path)]).stdout


def _ntfs_least(path: Path, stamp: int) -> int:
    text = _ntfs_info(path)
    if "NTFS is full" in text or not _NTFS_LEAST.search(text):
        return _number(_NTFS_SIZE, text, "ntfsresize")
    return _number(_NTFS_LEAST, text, "ntfsresize")


def _ntfs_resize(path: Path, size: int, stamp: int) -> None:
    # It asks before it begins, and marks the volume for Windows to check at its next start.
    run(["ntfsresize", *_NTFS_OPTIONS, "--size", str(size), str(path)])


@contextmanager
def _btrfs(path: Path, options: str) -> Generator[Path, None, None]:
    # Linux 6.1 mounts no twin of what it has seen: the same file system may be on the target.
    run(["btrfs", "device", "scan", "--forget"], ok=None)
    with (
        writable_loop(path, 0, path.stat().st_size, 512) as device,
        mounted_unseen(device, "btrfs", options) as point,
    ):
        yield point


def _btrfs_least(path: Path, stamp: int) -> int:
    with _btrfs(path, "ro") as point:
        said = run(["btrfs", "inspect-internal", "min-dev-size", str(point)]).stdout
    return max(_number(_BTRFS_LEAST, said, "btrfs"), BTRFS_FLOOR)


def _btrfs_squeeze(path: Path, size: int) -> bool:
    # Chunks that are almost full would give little, and moving them takes memory. What btrfs says
    # that it needs is on the safe side: the kernel knows whether it works.
    with _btrfs(path, "defaults") as point:
        run(["btrfs", "balance", "start", "-dusage=80", "-musage=80", str(point)])
        resize = ["btrfs", "filesystem", "resize", str(size), str(point)]
        return size >= BTRFS_FLOOR and run(resize, ok=None).code == 0


def _btrfs_resize(path: Path, size: int, stamp: int) -> None:
    with _btrfs(path, "defaults") as point:
        run(["btrfs", "filesystem", "resize", str(size), str(point)])


_EXT = Tool(_ext_least, _ext_resize, ("e2fsck", "resize2fs", "dumpe2fs"))
TOOLS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "ntfs": Tool(_ntfs_least, _ntfs_resize, ("ntfsresize",)),
    "btrfs": Tool(_btrfs_least, _btrfs_resize, ("btrfs", "mount"), _btrfs_squeeze, repeats=False),
}
