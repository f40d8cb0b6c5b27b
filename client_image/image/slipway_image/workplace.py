# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder builds happen in: one at a time, and nothing half done is ever found there."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway_image.errors import BuildError

_KEPT_BUILDS = 3
_TMP = "tmp-"


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the lock of a cache folder: a second build waits, then finds the first one's."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards; also clear what a killed build left."""
    for stale in cache.glob(f"{_TMP}*"):
        remove(stale)
    folder = Path(tempfile.mkdtemp(prefix=_TMP, dir=cache))
    # Daemons' users must be able to walk through the root that is made inside.
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove(folder)


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Return the mount points below a folder, the innermost first."""
    points = [
        line.split()[4].replace("\\040", " ").replace("\\134", "\\")
        for line in mountinfo.splitlines()
    ]
    below = [point for point in points if Path(point).is_relative_to(folder)]
    return sorted(below, key=len, reverse=True)


def remove(folder: Path) -> None:
    """Remove a folder; never through something that is still mounted in it."""
    info = Path("/proc/self/mountinfo")
    for point in mounts_below(folder.resolve(), info.read_text(encoding="utf-8")):
        if os.spawnlp(os.P_WAIT, "umount", "umount", "--lazy", point):
            raise BuildError(f"{point} is still mounted", f"umount {point}, then build again")
    if folder.exists():
        shutil.rmtree(folder)


def give_to_caller(folder: Path) -> None:
    """Hand the result to the person who used sudo to build it."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if uid and gid:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, int(uid), int(gid))


def prune(cache: Path, keep: Path) -> None:
    """Remove old builds; a few stay for people who switch between branches."""
    builds = [path for path in cache.iterdir() if (path / "image.json").is_file()]
    builds.sort(key=lambda path: (path == keep, path.stat().st_mtime), reverse=True)
    for old in builds[_KEPT_BUILDS:]:
        shutil.rmtree(old)
