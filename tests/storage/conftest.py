# SPDX-License-Identifier: GPL-3.0-or-later
"""Real disks in files and on loop devices, and the agent's own command line. Needs root."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from .disk_builder import Disk, make_tree
from .hashes import hash_of
from .warm import WarmAgent

# The guest's tests need its kernel: test_in_guest.py runs them there.
collect_ignore = [] if os.environ.get("SLIPWAY_GUEST") else ["guest", "guest_clock"]
AGENT = Path(__file__).resolve().parents[2] / "client_image/agent"
SPACE = 8 << 30
# CLONE_NEWNS; MS_REC and MS_PRIVATE.
_NEW_MOUNTS, _PRIVATE = 0x20000, 0x4000 | 1 << 18
WARM = WarmAgent()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.storage)


@dataclass
class Outcome:
    """How one run of the agent ended."""

    code: int
    records: list[dict[str, Any]]
    stderr: str

    @property
    def last(self) -> dict[str, Any]:
        assert self.records, self.stderr
        return self.records[-1]

    def ok(self) -> dict[str, Any]:
        """The result of a run that has to succeed."""
        assert self.last["type"] == "result", self.last
        return self.last

    def failed(self, error: str) -> dict[str, Any]:
        """The error of a run that has to fail like this, with a remedy."""
        assert self.last["type"] == "error", self.last
        assert (self.last["error"], self.last["exit_code"]) == (error, self.code), self.last
        assert self.last["remedy"], self.last
        return self.last


class Sources:
    """Disks that are saved; afterwards they have to be as they were."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.before = {path: hash_if_readable(path) for path in paths}

    def check(self) -> None:
        for path, before in self.before.items():
            if before and (after := hash_if_readable(path)):
                assert after == before, f"a backup changed its source {path}"


class Run(subprocess.Popen[str]):
    """The agent at work, in a process of its own."""

    def __init__(self, command: list[str], sources: Sequence[Path]) -> None:
        self.sources = Sources(sources)
        environment = os.environ | {"PYTHONPATH": str(AGENT)}
        pipe = subprocess.PIPE
        super().__init__(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        output = super().communicate(input, timeout)
        self.sources.check()
        return output


def hash_if_readable(path: Path) -> str:
    """Empty for what can't be read: tests of failing disks hash what lies behind."""
    try:
        return hash_of(path)
    except OSError:
        return ""


class Agent:
    """Runs `slipway` with one store: in storage tests the only way to run a backup."""

    def __init__(self, store: Path, place: Sequence[str] = (), inside: Sequence[str] = ()) -> None:
        """`place` are the arguments of a store that is no folder, `inside` is what runs it."""
        self.store = store
        self.place = place
        self.inside = inside

    def command(self, verb: str, *arguments: object) -> list[str]:
        place = [] if verb == "probe" else self.place or ["--store", str(self.store)]
        words = [str(each) for each in arguments]
        return [*self.inside, sys.executable, "-m", "slipway", verb, *words, *place, "--json"]

    def start(self, verb: str, *arguments: object) -> Run:
        return Run(self.command(verb, *arguments), sources_of(verb, arguments))

    def text(self, verb: str, *arguments: object) -> str:
        """What people see of a run that has to succeed and saves nothing."""
        assert verb != "backup"
        argv = [word for word in self.command(verb, *arguments) if word != "--json"]
        environment = os.environ | {"PYTHONPATH": str(AGENT)}
        return subprocess.run(
            argv, env=environment, check=True, capture_output=True, text=True, timeout=300
        ).stdout

    def __call__(self, verb: str, *arguments: object) -> Outcome:
        if self.inside or not WARM.lock.acquire(blocking=False):
            process = self.start(verb, *arguments)
            stdout, stderr = process.communicate(timeout=300)
            return outcome(process.returncode, stdout, stderr)
        try:
            return self._warm(verb, *arguments)
        finally:
            WARM.lock.release()

    def _warm(self, verb: str, *arguments: object) -> Outcome:
        sources = Sources(sources_of(verb, arguments))
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            words = self.command(verb, *arguments)[3:]
            code = WARM(words, output, errors, 300)
            sources.check()
            return outcome(code, output.read_text(), errors.read_text())


def sources_of(verb: str, arguments: Sequence[object]) -> list[Path]:
    words = takewhile(lambda word: not word.startswith("-"), map(str, arguments))
    return [Path(word) for word in words] if verb == "backup" else []


def outcome(code: int, stdout: str, stderr: str) -> Outcome:
    return Outcome(code, [json.loads(line) for line in stdout.splitlines()], stderr)


@pytest.fixture(scope="session", autouse=True)
def own_mounts() -> None:
    """What is mounted here nobody else sees: a search of all folders would keep it busy."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) or libc.mount(b"none", b"/", None, _PRIVATE, None):
        pytest.exit(f"no mounts of one's own: {os.strerror(ctypes.get_errno())}; run it as root")


@pytest.fixture(scope="session")
def space() -> Iterator[Path]:
    """A folder for disks: in memory where there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > SPACE
    with tempfile.TemporaryDirectory(prefix="slipway-", dir=memory if roomy else None) as folder:
        yield Path(folder)
    WARM.end()


@pytest.fixture
def room(space: Path) -> Iterator[Path]:
    """A folder for one test, gone after it."""
    with tempfile.TemporaryDirectory(dir=space) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def tree(space: Path) -> Path:
    """Files to fill file systems with."""
    return make_tree(space / "tree")


@pytest.fixture
def agent(room: Path) -> Agent:
    return Agent(room / "store")


@pytest.fixture(scope="session")
def golden(space: Path, tree: Path) -> Callable[[str], Disk]:
    """Disks of a shape, built once; tests must not change them."""
    built: dict[str, Disk] = {}

    def build(shape: str) -> Disk:
        if shape not in built:
            built[shape] = Disk.build(space / f"{shape}.img", shape, tree)
        return built[shape]

    return build


@pytest.fixture(autouse=True)
def no_loop_left(space: Path) -> Iterator[None]:
    """The agent leaves no loop device behind, however it ends."""
    before = loops(space)
    yield
    # udev looks at every device that appears and goes, and so keeps it for a moment.
    deadline = time.monotonic() + 10
    while loops(space) - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert loops(space) - before == set()


def loops(space: Path) -> set[str]:
    """Loop devices over files of this run."""
    found = set()
    for each in Path("/sys/block").glob("loop*/loop/backing_file"):
        # Between the two it may be gone.
        with suppress(OSError):
            if str(space) in (file := each.read_text().strip()):
                found.add(f"{each.parts[3]} {file}")
    return found
