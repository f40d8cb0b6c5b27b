# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that fails where it is told to: a file behind FUSE, so that errors come from the kernel.

`FailingDisk` starts this file as a program with the system's Python, which has Debian's fusepy.
"""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

NAME = "disk"


class FailingDisk:
    """A file with the content of another one, whose faults can be changed at any time.

    `path` is the file, in a new folder in `room`. It takes no writes unless `writable`.
    """

    def __init__(self, content: Path, room: Path, writable: bool = False) -> None:
        self._folder = room / "failing"
        self._faults = room / "failing.json"
        self._content = content
        self._writable = writable
        self.path = self._folder / NAME
        self.faults()

    def faults(self, **what: Any) -> None:
        """From now on: `bad` byte ranges to read, `bad_writes`, `gone`, `bad_sync`, `size`."""
        draft = self._faults.with_suffix(".draft")
        draft.write_text(json.dumps(what))
        draft.rename(self._faults)

    def reads(self) -> list[tuple[int, int]]:
        """Every byte range that was asked for, as (start, end), in order."""
        log = self._faults.with_suffix(".log")
        words = (line.split() for line in log.read_text().splitlines())
        return [(int(start), int(end)) for start, end in words]

    def __enter__(self) -> "FailingDisk":
        self._folder.mkdir()
        log = self._faults.with_suffix(".log")
        log.write_text("")
        argv = ["/usr/bin/python3", __file__, self._folder, self._content, self._faults, log]
        self._server = subprocess.Popen([*argv, "rw" if self._writable else "ro"])
        end = time.monotonic() + 20
        while not self.path.exists():
            assert self._server.poll() is None, "the FUSE server ended"
            assert time.monotonic() < end, "the FUSE server does not show its file"
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.rmdir()

    def kill(self) -> None:
        """End the server, as if the disk were pulled out."""
        if self._server.poll() is None:
            self._server.kill()
            self._server.wait()
            subprocess.run(["umount", "--lazy", self._folder], check=True)


@contextmanager
def on_loop(path: Path, sector: int = 512) -> Iterator[Path]:
    """The failing file as a block device."""
    argv = ["losetup", "--find", "--show", "-b", str(sector), "--direct-io=on", str(path)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


class Operations:
    """What FUSE asks for; `error` makes what it takes for a failure."""

    def __init__(
        self, content: str, faults: str, log: str, mode: str, error: Callable[[int], Exception]
    ) -> None:
        self.file, self.error, self.lock = Path(faults), error, threading.Lock()
        self.handle = os.open(content, os.O_RDWR if mode == "rw" else os.O_RDONLY)
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND)
        self.seen = (0, 0)
        self.now: dict[str, Any] = {}

    def faults(self) -> dict[str, Any]:
        with self.lock:
            found = self.file.stat()
            if (found.st_mtime_ns, found.st_ino) != self.seen:
                self.seen = (found.st_mtime_ns, found.st_ino)
                self.now = json.loads(self.file.read_text())
            return self.now

    def size(self) -> int:
        return int(self.faults().get("size", os.fstat(self.handle).st_size))

    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": 0o40755, "st_nlink": 2}
        if path != f"/{NAME}":
            raise self.error(errno.ENOENT)
        return {"st_mode": 0o100600, "st_nlink": 1, "st_size": self.size()}

    def open(self, path: str, info: Any) -> int:
        # Every read and write reaches us as it was asked for, without the page cache.
        info.direct_io = 1
        return 0

    def read(self, path: str, size: int, offset: int, info: Any) -> bytes:
        now, end = self.faults(), offset + size
        os.write(self.log, f"{offset} {end}\n".encode())
        self.fail(now, now.get("bad", ()), offset, end)
        return os.pread(self.handle, max(0, min(end, self.size()) - offset), offset)

    def write(self, path: str, data: bytes, offset: int, info: Any) -> int:
        now = self.faults()
        self.fail(now, now.get("bad_writes", ()), offset, offset + len(data))
        return os.pwrite(self.handle, data, offset)

    def fail(self, now: dict[str, Any], bad: Any, start: int, end: int) -> None:
        if now.get("gone"):
            raise self.error(errno.ENODEV)
        if any(a < end and start < b for a, b in bad):
            raise self.error(errno.EIO)

    def fsync(self, path: str, data_only: int, info: Any) -> int:
        if self.faults().get("bad_sync"):
            raise self.error(errno.EIO)
        os.fsync(self.handle)
        return 0


def serve(folder: str, content: str, faults: str, log: str, mode: str) -> None:
    """The FUSE server."""
    import fusepy  # type: ignore[import-not-found]

    class Server(Operations, fusepy.Operations):  # type: ignore[misc]
        pass

    server = Server(content, faults, log, mode, fusepy.FuseOSError)
    fusepy.FUSE(server, folder, foreground=True, raw_fi=True, nothreads=False)


if __name__ == "__main__":
    serve(*sys.argv[1:])
