# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab leaves on this host, found by marks that survive any kill.

Nothing here reads the lab's description: a half-built lab has none. The marks are
the network namespace, the cgroups, the tag in the environment of every process
that the lab started, and paths under the state folder.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from slipway_lab import server
from slipway_lab.config import run_dir
from slipway_lab.errors import LabError
from slipway_lab.tools import TAG, mounts

NSPAWN_RUN = Path("/run/systemd/nspawn")


def leftovers(namespace: str, state: Path) -> list[str]:
    """Name everything of the lab that this host still carries, files in the state folder apart."""
    left = [f"process {pid} ({comm(pid)})" for pid in processes(namespace, state)]
    left += [f"mount {path}" for path in mounts(state)]
    left += [f"loop device {device}" for device in _loops(state)]
    if _namespace_file(namespace).exists():
        left.append(f"network namespace {namespace}")
    left += [f"cgroup {folder}" for folder in _cgroups(namespace)]
    if run_dir(namespace).exists():
        left.append(f"folder {run_dir(namespace)}")
    return left


def remove(namespace: str, state: Path) -> list[str]:
    """Remove what dead processes left, outside the state folder; return what there was."""
    removed = _unmount(state)
    removed += _detach_loops(state)
    removed += _remove_namespace(namespace)
    removed += _remove_cgroups(namespace)
    return removed + _remove_nspawn_leftovers(namespace, state)


def processes(namespace: str, state: Path) -> list[int]:
    """Return all processes of the lab but this one and those that wait for it."""
    tag = f"{TAG}={state}".encode()
    mark = _namespace_id(namespace)
    cgroup_members = {
        int(pid)
        for folder in _cgroups(namespace)
        for file in folder.rglob("cgroup.procs")
        for pid in _read(file).split()
    }
    found = []
    spared = _ancestors()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        pid = int(entry.name)
        inside = mark is not None and _net_of(pid) == mark
        if inside or pid in cgroup_members or tag in _read(entry / "environ").split(b"\0"):
            found.append(pid)
    return sorted(found)


def _ancestors() -> set[int]:
    """Return this process and its parents: `make lab-down` must not kill its own caller."""
    spared, pid = set(), os.getpid()
    while pid > 1:
        spared.add(pid)
        stat = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
        pid = int(stat[1]) if len(stat) > 1 else 0
    return spared


def _namespace_file(namespace: str) -> Path:
    return Path("/run/netns") / namespace


def _namespace_id(namespace: str) -> tuple[int, int] | None:
    try:
        stat = _namespace_file(namespace).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _net_of(pid: int) -> tuple[int, int] | None:
    try:
        stat = Path(f"/proc/{pid}/ns/net").stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def comm(pid: int) -> str:
    """Return the name of a process, `gone` when it has ended."""
    return _read(Path(f"/proc/{pid}/comm")).decode(errors="replace").strip() or "gone"


def _read(path: Path) -> bytes:
    """Read a file of /proc or /sys that may vanish at any moment."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _unmount(state: Path) -> list[str]:
    points = mounts(state)
    for point in points:
        _tool("umount", "--lazy", point)
    return [f"mount {point}" for point in points]


def _loops(state: Path) -> Iterator[str]:
    """Yield loop devices whose file lies (or lay) under the state folder."""
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        backing = _read(file).decode(errors="replace").strip()
        if backing and Path(backing.removesuffix(" (deleted)")).is_relative_to(state):
            yield f"/dev/{file.parts[3]}"


def _detach_loops(state: Path) -> list[str]:
    devices = list(_loops(state))
    for device in devices:
        _tool("losetup", "--detach", device)
    return [f"loop device {device}" for device in devices]


def _remove_namespace(namespace: str) -> list[str]:
    file = _namespace_file(namespace)
    if not file.exists():
        return []
    _tool("ip", "netns", "delete", namespace)
    # A reboot in the middle leaves an empty file that is no namespace.
    file.unlink(missing_ok=True)
    return [f"network namespace {namespace}"]


def _cgroups(namespace: str) -> list[Path]:
    named = [root / namespace for root in server.CGROUP_ROOTS]
    return [folder for folder in named if folder.is_dir()]


def _remove_cgroups(namespace: str) -> list[str]:
    """Remove our cgroups, leaves first; a dying member keeps its group busy for a moment."""
    folders = _cgroups(namespace)
    deadline = time.monotonic() + 5
    for folder in folders:
        while folder.exists() and time.monotonic() < deadline:
            for path, _, _ in os.walk(folder, topdown=False):
                try:
                    Path(path).rmdir()
                except OSError:
                    time.sleep(0.02)
    return [f"cgroup {folder}" for folder in folders]


def _remove_nspawn_leftovers(namespace: str, state: Path) -> list[str]:
    """Remove what nspawn leaves when it is killed: lock files and an empty folder."""
    root = state / "server"
    paths = [
        state / ".#server.lck",
        NSPAWN_RUN / "propagate" / namespace,
        NSPAWN_RUN / "unix-export" / namespace,
    ]
    if root.exists():
        stat = root.stat()
        paths.append(NSPAWN_RUN / "locks" / f"inode-{stat.st_dev}:{stat.st_ino}")
    removed = []
    for path in paths:
        if path.is_dir():
            path.rmdir()
        elif path.exists():
            path.unlink()
        else:
            continue
        removed.append(f"{path}")
    return removed


def _tool(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}.")
