# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition of a version, mounted read-only for root by the server's own kernel.

The only place where a kernel reads a PC's file system: whoever asks for it accepts that a damaged
one, or one that was made for it, may bring that kernel down or worse.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.errors import SlipwayError, TargetRefused, ToolError, UsageError
from slipway.engine.folder_store import FolderStore
from slipway.engine.run import run
from slipway.engine.virtual_disk import VirtualDisk
from slipway.format import ImageRef, parse_image_ref

from slipway_export.places import name_of, places
from slipway_export.sandbox import owner_of
from slipway_export.serving import CPU_SECONDS, MEMORY, Served, wait_for

# Root's alone, whatever rights the file systems in it give to others.
MOUNTS = Path("/run/slipway-mounts")
# What serves them runs as the user whose store it is, and has to get here.
STATES = Path("/run/slipway-mounts.d")
# What keeps each from writing, or from wanting to, beside what goes for all.
_OPTIONS = {"ext3": "noload", "ext4": "noload", "xfs": "norecovery,nouuid",
            "btrfs": "rescue=nologreplay"}  # fmt: skip
_ALWAYS = "ro,loop,nosuid,nodev,noexec"


@dataclass(frozen=True)
class Mount:
    """What is mounted where."""

    image: str
    partition: str
    point: str


def mount(store: Path, image: str, partition: str, to: Path | None) -> tuple[Mount, bool]:
    """Mount it unless it is; return whether that was done."""
    opened = FolderStore(store)
    manifest = opened.manifest(parse_image_ref(image))
    ref = ImageRef(manifest.name, manifest.version)
    disks = {disk.id: VirtualDisk(manifest, disk.id, opened) for disk in manifest.disks}
    pieces = places(manifest, lambda disk, at, size: disks[disk].read(at, size), partition)
    if not pieces:
        raise UsageError(
            f"{ref} has no {partition or 'partition without a name'} that can be mounted",
            "say partition=disk0:1 or GROUP/VOLUME; playbooks/files.yml with path=/ lists them",
        )
    usual = f"{ref.name}-{ref.version}-{partition}".replace(":", "-").replace("/", "-")
    point = to or MOUNTS / usual
    wanted = Mount(str(ref), partition, str(point))
    os.umask(0o022)
    MOUNTS.mkdir(mode=0o700, exist_ok=True)
    STATES.mkdir(mode=0o711, exist_ok=True)
    state = _state(point)
    if (found := _known(state)) is not None and point.is_mount():
        if (found.image, found.partition) == (wanted.image, wanted.partition):
            return found, False
        raise TargetRefused(
            f"{point} has {found.partition} of {found.image}", "unmount it first: state=absent"
        )
    if point.is_mount() or (point.exists() and any(point.iterdir())):
        raise TargetRefused(f"{point} is in use", "name an empty folder, or one that is new")
    unmount(point)
    try:
        return _mount(store, ref, wanted, name_of(pieces), state), True
    except SlipwayError:
        unmount(point)
        raise


def unmount(point: Path) -> bool:
    """Take a mount back; whether there was one. Whoever works in it keeps it: ToolError."""
    state = _state(point)
    found = _known(state)
    if point.is_mount() and found is not None:
        run(["umount", str(point)])
    if not state.exists():
        return False
    run(["umount", "--lazy", str(state / "volume")], ok=None)
    for pid in _programs(state):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    shutil.rmtree(state)
    with suppress(OSError):
        point.rmdir()
    return True


def _mount(store: Path, ref: ImageRef, wanted: Mount, name: str, state: Path) -> Mount:
    state.mkdir(mode=0o711)
    owner = owner_of(store, MEMORY, CPU_SECONDS)
    os.chown(state, owner.uid, owner.gid)
    server = Served(state, store, ref)
    (state / "mount.json").write_text(json.dumps(vars(wanted)))
    _detached(["unshare", "--net", "--", *server.argv()], server.log)
    wait_for(server.socket, None, server, "nbdkit")
    volume = state / "volume"
    volume.mkdir(mode=0o700)
    _detached(["nbdfuse", "--readonly", str(volume / "disk"), server.uri(name)], server.log)
    wait_for(volume / "disk", None, server, "nbdfuse")
    kind = run(["blkid", "-p", "-o", "value", "-s", "TYPE", str(volume / "disk")], ok=None)
    options = ",".join(filter(None, [_ALWAYS, _OPTIONS.get(kind.stdout.strip(), "")]))
    Path(wanted.point).mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        run(["mount", "-o", options, str(volume / "disk"), wanted.point])
    except ToolError as error:
        raise server.blamed(error) from error
    return wanted


def _detached(argv: list[str], log: Path) -> None:
    """Start a program that stays when this one ends: nbdkit ends with whoever started it."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True,
        )  # fmt: skip


def _programs(state: Path) -> list[int]:
    """Those that serve a mount: they have its folder in their words."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = each.read_bytes().split(b"\0")
            if words[0] in (b"nbdkit", b"nbdfuse") and any(bytes(state) in word for word in words):
                found.append(int(each.parent.name))
    return found


def _known(state: Path) -> Mount | None:
    try:
        facts = json.loads((state / "mount.json").read_text())
    except (OSError, ValueError):
        return None
    return Mount(facts["image"], facts["partition"], facts["point"])


def _state(point: Path) -> Path:
    """Where what belongs to a mount is kept: one for each point, whatever it is called."""
    return STATES / hashlib.sha256(str(point).encode()).hexdigest()[:16]
