# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that holds what a segment of an image holds, fetched when it is read.

Tools that shrink a file system want all of it; most of it they never look at. Needs FUSE (fusepy).
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from slipway.engine.errors import ToolError
from slipway.engine.overlay import Overlay
from slipway.engine.run import run

NAME = "partition"
_SHARE = 0.5
_PATIENCE = 20.0
_CLONE_NEWNS, _MS_REC, _MS_SLAVE = 0x20000, 0x4000, 0x80000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mounted(overlay: Overlay) -> Generator[Path, None, None]:
    """The content as a file that other programs read and write; gone at the end."""
    fuse = _fuse()
    hide_mounts()
    with tempfile.TemporaryDirectory(prefix="slipway-lazy-") as folder:
        server = threading.Thread(target=_serve, args=(fuse, overlay, folder), daemon=True)
        server.start()
        path = Path(folder) / NAME
        deadline = time.monotonic() + _PATIENCE
        while not path.exists():
            if not server.is_alive() or time.monotonic() > deadline:
                raise ToolError("FUSE does not work here", "load the kernel module fuse")
            time.sleep(0.01)
        try:
            yield path
        finally:
            # Lazily: udev may still look at a loop device over it.
            run(["umount", "--lazy", folder])
            server.join(_PATIENCE)


def hide_mounts() -> None:
    """From now on nobody else sees what this thread and its programs mount.

    And it is gone with them: an agent that is killed leaves no mount behind.
    """
    if _libc.unshare(_CLONE_NEWNS) or _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None):
        raise ToolError(
            f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}",
            "run it as root",
        )


def free_memory() -> int:
    """Bytes that an overlay may take."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(int(rest.split()[0]) * 1024 * _SHARE)
    return 0


def _fuse() -> Any:
    # Debian's name for the library, and PyPI's.
    for name in ("fusepy", "fuse"):
        with suppress(ImportError):
            return import_module(name)
    raise ToolError(
        "Python's FUSE library is missing, which a file system is made smaller with",
        "install the package python3-fusepy",
    )


def _serve(fuse: Any, overlay: Overlay, folder: str) -> None:
    size = overlay.segment.size

    class Server(fuse.Operations):  # type: ignore[misc]  # it comes from a module without types
        """One file in one folder."""

        def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": 0o40700, "st_nlink": 2}
            if path != f"/{NAME}":
                raise fuse.FuseOSError(errno.ENOENT)
            return {"st_mode": 0o100600, "st_nlink": 1, "st_size": size}

        def open(self, path: str, flags: int) -> int:
            return 0

        def read(self, path: str, count: int, offset: int, handle: int) -> bytes:
            return overlay.read(offset, max(0, min(count, size - offset)))

        def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
            return overlay.write(offset, data)

        def truncate(self, path: str, length: int, handle: int | None = None) -> None:
            """A tool that made the file system smaller cuts the file; its size stays ours."""

        def fsync(self, path: str, data_only: int, handle: int) -> int:
            return 0

    fuse.FUSE(Server(), folder, foreground=True, nothreads=True, big_writes=True)
