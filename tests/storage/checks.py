# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored content has to stand. A case names its checks."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import containers
from .cases import Case
from .disk_builder import attached, contents, device_link, mounted, sh, sha256


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
