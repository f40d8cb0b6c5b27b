# SPDX-License-Identifier: GPL-3.0-or-later
"""A version's disks for other programs: by NBD on a unix socket, and as files."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway.engine.errors import ImageDamaged, SlipwayError, ToolError
from slipway.format import ImageRef

from slipway_export.sandbox import MIB, owner_of

# A manifest of 256 MiB takes ten times as much when it is read.
MEMORY = 4096 * MIB
CPU_SECONDS = 7 * 86400
_PATIENCE = 60.0
_LOG_TAIL = 4096


class Served:
    """A version whose disks nbdkit serves from a socket in `desk`."""

    def __init__(self, desk: Path, store: Path, ref: ImageRef) -> None:
        """Nothing runs yet."""
        self.socket = desk / "nbd.sock"
        self.log = desk / "nbdkit.log"
        self._store, self.ref = store, ref
        self._read = 0

    def uri(self, disk: str) -> str:
        """Where programs that speak NBD find a disk."""
        return f"nbd+unix:///{disk}?socket={self.socket}"

    def argv(self) -> list[str]:
        """The server's command, as the user whose store it is."""
        place = f"SLIPWAY_PATH={':'.join(each for each in sys.path if each)}"
        return owner_of(self._store, MEMORY, CPU_SECONDS).argv(
            "env", place, "PYTHONDONTWRITEBYTECODE=1",
            "nbdkit", "--foreground", "--readonly", "--unix", self.socket, "python",
            Path(__file__).with_name("plugin.py"), f"store={self._store}", f"image={self.ref}",
        )  # fmt: skip

    def reason(self) -> str:
        """What nbdkit said last, since `forget`, of why it could not serve; empty if it could."""
        for line in reversed(self._said()):
            if line.startswith("slipway: "):
                return line.removeprefix("slipway: ")
        return ""

    def last_line(self) -> str:
        """What nbdkit, or who shows its disks as files, said last, since `forget`."""
        return next((line.strip() for line in reversed(self._said()) if line.strip()), "")

    def _said(self) -> list[str]:
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self._read, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            return log.read().decode("utf-8", "replace").splitlines()
        return []

    def forget(self) -> None:
        """What went wrong until now was said."""
        self._read = self.log.stat().st_size

    def blamed(self, error: SlipwayError) -> SlipwayError:
        """The error of a program that read from here, or what is wrong with the image."""
        if not (reason := self.reason()):
            return error
        return ImageDamaged(
            f"{self.ref}: {reason}",
            "use another version, or restore the store's files from its own backup",
        )


@contextmanager
def served(desk: Path, store: Path, ref: ImageRef) -> Generator[Served, None, None]:
    """Serve a version until the end of the block."""
    server = Served(desk, store, ref)
    owner = owner_of(store, MEMORY, CPU_SECONDS)
    os.chown(desk, owner.uid, owner.gid)
    with server.log.open("ab") as log:
        process = subprocess.Popen(server.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(server.socket, process, server, "nbdkit")
        # Whoever gets as far as the desk may read the disk: the desk is in this run's namespace.
        server.socket.chmod(0o666)
        yield server
    finally:
        _end(process)


@contextmanager
def as_file(server: Served, folder: Path, name: str) -> Generator[Path, None, None]:
    """What the server calls `name`, as a file in a new folder that all in this namespace read."""
    folder.mkdir()
    path = folder / "disk"
    argv = ["nbdfuse", "--readonly", "-o", "allow_other", str(path), server.uri(name)]
    with server.log.open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_for(path, process, server, "nbdfuse")
        yield path
    finally:
        subprocess.run(["umount", "--lazy", folder], stderr=subprocess.DEVNULL, check=False)
        _end(process)
        with suppress(OSError):
            folder.rmdir()


def wait_for(
    path: Path, process: subprocess.Popen[bytes] | None, server: Served, name: str
) -> None:
    """Until a program that was just started has made `path`; an error says why it did not."""
    deadline = time.monotonic() + _PATIENCE
    while not _is_ready(path):
        if (process is not None and process.poll() is not None) or time.monotonic() > deadline:
            message = ": ".join(filter(None, [f"{name} does not start", server.last_line()]))
            raise server.blamed(ToolError(message, f"look whether {name} is installed and works"))
        time.sleep(0.01)


def _is_ready(path: Path) -> bool:
    """Whether it is there; a socket is there some time before anybody listens."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return True
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
