# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk of a version as a file that other programs know. It appears whole, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.errors import StoreFull, TargetRefused, ToolError, UsageError
from slipway.engine.folder_store import FolderStore
from slipway.engine.restore import refuse_degraded
from slipway.engine.run import run
from slipway.engine.store_files import sync_path
from slipway.engine.virtual_disk import VirtualDisk
from slipway.format import ImageRef, parse_image_ref

from slipway_export import FORMATS
from slipway_export.sandbox import DESK, LEAVE, MIB, Confined, child, nobody, owner_of
from slipway_export.serving import Served, served

_CLUSTER = 64 << 10
_MEMORY = 2048 * MIB
_DAY = 86400


@dataclass(frozen=True)
class Wish:
    """What is to be made."""

    store: Path
    image: str
    disk: str
    format: str
    to: Path
    """The file; in a folder it gets the usual name."""
    allow_degraded: bool = False
    """Whether what the source disk could not read may be zeros."""
    leave: int = LEAVE
    """Bytes that stay free."""


@dataclass(frozen=True)
class Plan:
    """What an export makes."""

    ref: ImageRef
    path: Path
    size: int
    """Bytes of the disk."""
    needs: int
    """Bytes that the file takes at most."""
    there: bool
    """Whether something has that name already."""


def plan(wish: Wish) -> Plan:
    """Look what there is, change nothing. Refuses what can't be made."""
    if wish.format not in FORMATS:
        raise UsageError(
            f"{wish.format} is no format of an export", f"choose one of {', '.join(FORMATS)}"
        )
    store = FolderStore(wish.store)
    manifest = store.manifest(parse_image_ref(wish.image))
    if not wish.allow_degraded:
        refuse_degraded(manifest)
    disk = VirtualDisk(manifest, wish.disk, store)
    ref = ImageRef(manifest.name, manifest.version)
    used = sum(end - start + _CLUSTER for start, end, used in disk.extents(0, disk.size) if used)
    # Each format keeps a map of its clusters, of at most 16 bytes for each.
    needs = min(used, disk.size) + disk.size // _CLUSTER * 16 + 2 * MIB
    path = _path(wish, f"{ref.name}-{ref.version}-{wish.disk}.{wish.format}")
    found = Plan(ref, path, disk.size, needs, path.exists())
    if not found.there:
        _check_room(found, wish.leave)
    return found


def export(wish: Wish) -> tuple[Plan, bool]:
    """Make the file unless it is there; return whether it was made. Inside a sandbox."""
    found = plan(wish)
    desk = DESK / "export"
    desk.mkdir(mode=0o711)
    with served(desk, wish.store, found.ref) as server:
        if found.there:
            _check_same(server, wish, found.path)
            return found, False
        with _workplace(found.path) as draft:
            _convert(server, wish, draft, found)
            draft.replace(found.path)
        sync_path(found.path.parent)
    return found, True


def _path(wish: Wish, usual: str) -> Path:
    if not wish.to.is_absolute():
        raise UsageError(
            f"{wish.to} is no absolute path", "say a file or a folder of the image server"
        )
    path = wish.to / usual if wish.to.is_dir() else wish.to
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it, or name another one")
    # A vmdk says its own name in quotation marks.
    if '"' in path.name or not path.name.isprintable():
        raise UsageError(f"{path.name!r} is no name for an export", "use letters and digits")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is there and is no file", "name another one")
    return path


def _check_room(found: Plan, leave: int) -> None:
    free = shutil.disk_usage(found.path.parent).free - leave
    if free < found.needs:
        raise StoreFull(
            f"{found.path.parent} has {max(free, 0)} bytes left, and the export may take "
            f"{found.needs}",
            "make room, or name another folder",
        )


def _check_same(server: Served, wish: Wish, path: Path) -> None:
    """Raise unless the file that is there is the same disk."""
    bound = _bound(path, DESK / "existing")
    source = server.uri(wish.disk)
    try:
        _qemu_img(
            owner_of(path, _MEMORY, _DAY), "compare", "-f", "raw", "-F", wish.format, source, bound
        )
    except ToolError as error:
        if server.reason():
            raise server.blamed(error) from error
        raise TargetRefused(
            f"{path} is there and is not {wish.disk} of {server.ref} as {wish.format}; "
            "it was left as it is",
            "remove it, or name another file",
        ) from error
    finally:
        run(["umount", str(bound)])


def _convert(server: Served, wish: Wish, draft: Path, found: Plan) -> None:
    user = nobody(_MEMORY, _DAY)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.chown(draft, user.uid, user.gid)
    bound = _bound(draft, DESK / "draft")
    try:
        _qemu_img(
            user, "convert", "-f", "raw", "-O", wish.format, server.uri(wish.disk), bound
        )  # fmt: skip
    except ToolError as error:
        raise server.blamed(error) from error
    finally:
        run(["umount", str(bound)])
    os.chown(draft, 0, 0)
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _qemu_img(user: Confined, *arguments: object) -> None:
    with (DESK / "qemu-img.log").open("wb") as output:
        # The room was looked at before; a raw file is as long as its disk, holes and all.
        child(user, ["qemu-img", *arguments], output, most=1 << 60, seconds=_DAY)


def _bound(path: Path, folder: Path) -> Path:
    """The file below the desk, under its own name: nobody gets through the folders above it."""
    folder.mkdir(mode=0o711)
    bound = folder / path.name
    bound.touch()
    run(["mount", "--bind", str(path), str(bound)])
    return bound


@contextmanager
def _workplace(path: Path) -> Generator[Path, None, None]:
    """A place beside `path` for a file of its name; what a killed run left there is removed."""
    folder = path.with_name(f".{path.name}.part")
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise TargetRefused(
            f"another export to {path} is under way", "wait for it, or name another file"
        ) from None
    try:
        (folder / path.name).unlink(missing_ok=True)
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
