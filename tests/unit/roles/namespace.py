# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with two cards and PCs behind each: network namespaces that need no root.

The server is 10.77.0.1 on lab0 and 10.78.0.1 on lab1; the PCs are 10.77.0.2 to .99 on pc0 and
10.78.0.2 to .99 on pc1.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PCS = range(2, 100)


@dataclass(frozen=True)
class Namespace:
    """A network namespace, held by a process."""

    pid: int

    def words(self, *argv: str) -> list[str]:
        """Return a command as one that runs there."""
        there = ["--preserve-credentials", "--user", "--net", f"--target={self.pid}"]
        return ["nsenter", *there, "--", *argv]

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a program there."""
        done = subprocess.run(
            self.words(*argv), input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, program: str, *arguments: str) -> str:
        """Run a Python program there."""
        return self.run(sys.executable, "-", *arguments, stdin=program)


@contextmanager
def _held(*prefix: str, unshare: str) -> Iterator[Namespace]:
    words = [*prefix, "unshare", unshare, "sh", "-c", "echo $$; exec sleep 600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            yield Namespace(int(holder.stdout.readline()))
        finally:
            holder.kill()


@contextmanager
def server_and_pcs() -> Iterator[tuple[Namespace, Namespace]]:
    """Make both, connected by two cables."""
    with _held(unshare="-Urn") as server, _held(*server.words(), unshare="-n") as pcs:
        server.run("ip", "link", "set", "lo", "up")
        for number in range(2):
            here, there, net = f"lab{number}", f"pc{number}", f"10.{77 + number}.0"
            server.run(
                "ip", "link", "add", here, "type", "veth", "peer", there, "netns", str(pcs.pid)
            )
            server.run("ip", "address", "add", f"{net}.1/24", "brd", "+", "dev", here)
            server.run("ip", "link", "set", here, "up")
            batch = "".join(f"address add {net}.{pc}/24 brd + dev {there}\n" for pc in PCS)
            pcs.run("ip", "-batch", "-", stdin=batch)
            pcs.run("ip", "link", "set", there, "up")
        yield server, pcs
