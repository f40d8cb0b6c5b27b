# SPDX-License-Identifier: GPL-3.0-or-later
"""Where all that looks at a PC's disk runs: no network, no view of others, and an end.

The program starts itself again in namespaces of its own, as their first process. When that ends,
killed or not, the kernel ends everything in them, and no mount is left.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slipway.engine.errors import ToolError, UsageError
from slipway.engine.run import run

# Nobody's but the run's own: a file system in memory is mounted over it in each run's namespace.
DESK = Path("/run/slipway-export")
INSIDE = "SLIPWAY_EXPORT_INSIDE"
# The verbs whose programs may be fooled by what they read.
CONFINED = ("export", "files")
MIB = 1 << 20
# What stays free where something is written, unless somebody says otherwise.
LEAVE = 64 * MIB
_WORDS = 300


@dataclass(frozen=True)
class Confined:
    """As whom and with how much a program runs."""

    uid: int
    gid: int
    memory: int
    """Bytes of address space."""
    seconds: int
    """Of a processor, for what spins; the clock on the wall is for who waits."""

    def argv(self, *command: object) -> list[str]:
        """The command, without any right, behind everybody else in the queue."""
        return [
            "prlimit", f"--as={self.memory}", f"--cpu={self.seconds}", "--core=0", "--",
            "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups",
            "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--",
            "nice", "-n", "10", "ionice", "-c", "3", *map(str, command),
        ]  # fmt: skip


def nobody(memory: int, seconds: int) -> Confined:
    """A user who owns nothing."""
    entry = pwd.getpwnam("nobody")
    return Confined(entry.pw_uid, entry.pw_gid, memory, seconds)


def owner_of(path: Path, memory: int, seconds: int) -> Confined:
    """Who may read a store: whose it is."""
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(
            f"{path} can't be looked at: {error.strerror}", "say where the image store is"
        ) from error
    return Confined(found.st_uid, found.st_gid, memory, seconds)


def is_inside() -> bool:
    """Whether this process is in its own namespaces already."""
    return os.environ.get(INSIDE) == "1"


def begin_again() -> None:
    """Start this program as the first process of new namespaces; this one becomes its parent."""
    DESK.mkdir(mode=0o711, exist_ok=True)
    os.environ[INSIDE] = "1"
    os.environ["PYTHONPATH"] = ":".join(each for each in sys.path if each)
    namespaces = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
    program = [sys.executable, "-P", "-m", "slipway_export", *sys.argv[1:]]
    os.execvp("unshare", ["unshare", *namespaces, "--mount-proc", "--", *program])


def furnish() -> None:
    """Inside: a desk in memory that nobody else sees."""
    os.umask(0o022)
    run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0711,nosuid,nodev", "desk", str(DESK)])


def child(
    confined: Confined, command: list[object], output: IO[bytes], most: int, seconds: float
) -> None:
    """Run a program that may be fooled by what it reads; its output goes to a file.

    It writes at most `most` bytes and takes at most `seconds`; then it is killed, and it alone.
    ToolError says how it ended.
    """
    with tempfile.TemporaryFile(dir=DESK) as said:
        limited = ["prlimit", f"--fsize={most}", "--", *confined.argv(*command)]
        name = str(command[0])
        try:
            code = subprocess.run(
                limited, stdin=subprocess.DEVNULL, stdout=output, stderr=said, timeout=seconds,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ToolError(f"{name} did not end within {seconds:.0f} seconds") from None
        if code == 0:
            return
        said.seek(0)
        words = " ".join(said.read(_WORDS).decode("utf-8", "replace").split())
        how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with code {code}"
        raise ToolError(f"{name} {how}" + (f": {words}" if words else ""))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
