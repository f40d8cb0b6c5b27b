# SPDX-License-Identifier: GPL-3.0-or-later
"""An nbdkit plugin: each disk of one version is an export of its name, read-only.

What lies in pieces on the disks, a logical volume for example, is an export of their places.

nbdkit loads this file by its path and calls these functions by their names. It asks for one thing
at a time, so what it takes of memory is the manifest and the few chunks that stay unpacked.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbdkit

# nbdkit runs Debian's Python, and where its packages are is for whoever starts it to say.
sys.path[:0] = os.environ.get("SLIPWAY_PATH", "").split(":")

from slipway.engine.errors import SlipwayError  # noqa: E402
from slipway.engine.folder_store import FolderStore  # noqa: E402
from slipway.engine.virtual_disk import VirtualDisk  # noqa: E402
from slipway.format import Manifest, parse_image_ref  # noqa: E402

from slipway_export.places import Joined, pieces_of  # noqa: E402

API_VERSION = 2
# As much as is said of the holes of a fragmented disk at once.
_WINDOW = 256 << 20

Export = VirtualDisk | Joined
_settings: dict[str, str] = {}
_store: FolderStore
_manifest: Manifest


@contextmanager
def _said() -> Iterator[None]:
    """Say in one line why something can't be had: nbdkit adds where in Python that was."""
    try:
        yield
    except SlipwayError as error:
        print(f"slipway: {error.message}", file=sys.stderr, flush=True)
        nbdkit.set_error(errno.EIO)
        raise OSError(errno.EIO, error.message) from None


def config(key: str, value: str) -> None:
    """Take `store=FOLDER` or `image=NAME@VERSION`."""
    _settings[key] = value


def get_ready() -> None:
    """Read the manifest, or end before anybody is served."""
    global _store, _manifest
    with _said():
        _store = FolderStore(Path(_settings["store"]))
        _manifest = _store.manifest(parse_image_ref(_settings["image"]))


def open(readonly: bool) -> Export:
    """One client's disk, by the name of the export that it asks for."""
    name = nbdkit.export_name()
    with _said():
        if pieces := pieces_of(name):
            ids = {piece.disk for piece in pieces}
            return Joined(pieces, {each: VirtualDisk(_manifest, each, _store) for each in ids})
        return VirtualDisk(_manifest, name, _store)


def can_write(disk: Export) -> bool:
    """A version never changes."""
    return False


def can_multi_conn(disk: Export) -> bool:
    """All connections see the same bytes."""
    return True


def can_extents(disk: Export) -> bool:
    """Where nothing is kept is known, so nobody need read it."""
    return True


def get_size(disk: Export) -> int:
    """Bytes of the disk."""
    return disk.size


def pread(disk: Export, buffer: bytearray, offset: int, flags: int) -> None:
    """Fill the buffer. What can't be had is an I/O error, and the reason goes to the log."""
    with _said():
        buffer[:] = disk.read(offset, len(buffer))


def extents(disk: Export, count: int, offset: int, flags: int) -> Iterator[tuple[int, int, int]]:
    """Where from here on the image keeps something."""
    hole = nbdkit.EXTENT_HOLE | nbdkit.EXTENT_ZERO
    for start, end, used in disk.extents(offset, min(count, _WINDOW, disk.size - offset)):
        yield start, end - start, 0 if used else hole
