# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore over a line of 40 Mbit/s that breaks, to an nginx that restarts."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..bench.server import Server, serving
from .conftest import Agent, Run
from .disk_builder import MIB, attached, sh
from .hashes import hash_of

SERVER, PC = "10.77.9.1", "10.77.9.2"
RATE = "40mbit"
# A packet of 1514 bytes carries 1448 of the stream.
HEADS = 1514 / 1448
TWICE = 1.05
ENDINGS = ((signal.SIGTERM,), (signal.SIGQUIT, signal.SIGTERM), (signal.SIGKILL,))
"""How nginx is stopped: by hand, by its systemd unit, by the kernel."""


@dataclass
class Line:
    """Two network namespaces, and the only line between them."""

    server: str
    pc: str

    def inside(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", name]

    def cut(self, seconds: float) -> None:
        """Pull the PC's plug for a while."""
        sh("ip", "-n", self.pc, "link", "set", "eth0", "down")
        time.sleep(seconds)
        sh("ip", "-n", self.pc, "link", "set", "eth0", "up")

    def came(self, name: str) -> int:
        """How many bytes have reached that end of the line."""
        counter = "/sys/class/net/eth0/statistics/rx_bytes"
        return int(sh(*self.inside(name), "cat", counter))


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line(f"slipway-s{os.getpid()}", f"slipway-p{os.getpid()}")
    try:
        for name in (made.server, made.pc):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        peer = ["type", "veth", "peer", "name", "eth0", "netns", made.pc]
        sh("ip", "-n", made.server, "link", "add", "eth0", *peer)
        for name, address in ((made.server, SERVER), (made.pc, PC)):
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            # One packet is one packet: else the counters would see few and large ones.
            sh("ip", "-n", name, "link", "set", "eth0", "gso_max_segs", 1, "up")
            shape = ["tbf", "rate", RATE, "burst", "32k", "latency", "50ms"]
            sh("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", *shape)
        yield made
    finally:
        for name in (made.server, made.pc):
            subprocess.run(["ip", "netns", "del", name], check=False)


@dataclass(frozen=True)
class Course:
    """What happens to a transfer."""

    size: int
    """MiB of a disk that can't be compressed."""
    restarts: int
    long_cuts: int
    short_cuts: int

    def run(self, line: Line, server: Server) -> None:
        for number in range(self.restarts):
            time.sleep(4)
            server.nginx.stop(*ENDINGS[number % len(ENDINGS)])
            time.sleep(1)
            server.nginx.start()
        for _ in range(self.long_cuts):
            time.sleep(4)
            line.cut(5)
        for _ in range(self.short_cuts):
            time.sleep(3)
            line.cut(4)


COURSES = [
    pytest.param(Course(110, 2, 1, 1), id="short"),
    pytest.param(Course(480, 6, 6, 10), id="long", marks=pytest.mark.slow),
]


def succeeds(process: Run) -> str:
    said, complaint = process.communicate(timeout=900)
    assert process.returncode == 0, (said.splitlines()[-1:], complaint)
    return said


def through(course: Course, line: Line, server: Server, start: Callable[[], Run]) -> str:
    """Let the whole course happen to what `start` begins; what it said."""
    trouble = threading.Thread(target=course.run, args=(line, server))
    work = start()
    trouble.start()
    try:
        said = succeeds(work)
        assert not trouble.is_alive(), "it was done before all had happened"
    finally:
        trouble.join()
    return said


@pytest.fixture
def source(room: Path, request: pytest.FixtureRequest) -> Path:
    course: Course = request.getfixturevalue("course")
    path = room / "source.img"
    with path.open("wb") as file:
        for _ in range(course.size):
            file.write(os.urandom(MIB))
    sh("sfdisk", "-q", path, input="label: dos\n2048,,83\n")
    return path


@pytest.mark.parametrize("course", COURSES)
def test_backup(course: Course, line: Line, source: Path, room: Path) -> None:
    here, there = line.inside(line.server), line.inside(line.pc)
    with serving(made(room / "server"), SERVER, here) as server:
        pc = Agent(room, server.session("backup", room)[1], there)
        before = line.came(line.server)
        said = through(course, line, server, lambda: pc.start("backup", source, "--name", "pc"))
        assert "waiting for the server" in said
        assert line.came(line.server) - before < course.size * MIB * HEADS * TWICE
        # From the server itself, where no line is slow.
        beside = Agent(room, server.session("restore", room)[1], here)
        assert beside("compare", "pc", source).code == 0


@pytest.mark.parametrize("course", COURSES)
def test_restore(course: Course, line: Line, source: Path, room: Path) -> None:
    here, there = line.inside(line.server), line.inside(line.pc)
    with serving(made(room / "server"), SERVER, here) as server:
        beside = Agent(room, server.session("backup", room)[1], here)
        beside("backup", source, "--name", "pc").ok()
        target = room / "target.img"
        with target.open("wb") as file:
            file.truncate(course.size * MIB)
        pc = Agent(room, server.session("restore", room)[1], there)
        with attached(target) as device:
            before = line.came(line.pc)
            said = through(course, line, server, lambda: pc.start("restore", "pc", device))
        assert "waiting for the server" in said
        assert line.came(line.pc) - before < course.size * MIB * HEADS * TWICE
        assert hash_of(target) == hash_of(source)


def made(folder: Path) -> Path:
    folder.mkdir()
    # nginx answers as another user when the tests run as root.
    for place in folder.parents[:3]:
        place.chmod(0o755)
    return folder
