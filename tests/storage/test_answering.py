# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control service asks of the program beside it: over a socket, and nothing else."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import AGENT, Agent
from .disk_builder import Disk, sh
from .exporting import SERVER_FILES, left_behind
from .hashes import hash_of

# What they leave behind is looked for in folders that all exports of a machine share.
pytestmark = pytest.mark.xdist_group("export")

UNIT = SERVER_FILES.parent / "templates/etc/systemd/system/slipway-reader@.service.j2"
ID = "0123456789abcdef"
GROUP = 33


def as_the_unit() -> list[str]:
    """With no capability but those that its unit leaves it."""
    [line] = re.findall("^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)
    kept = ["+" + each.removeprefix("CAP_").lower() for each in line.split()]
    assert len(kept) > 3
    return [
        "setpriv",
        f"--bounding-set=-all,{','.join(kept)}",
        "--inh-caps=-all",
        "--no-new-privs",
        "--",
    ]


@dataclass
class Asker:
    """The control service in front of `slipway_export answer`."""

    store: Path
    spool: Path
    leave: int = 0

    @contextmanager
    def line(self) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        argv = [*as_the_unit(), sys.executable, "-P", "-m", "slipway_export", "answer"]
        argv += ["--store", str(self.store)]
        environment = os.environ | {"PYTHONPATH": f"{AGENT}:{SERVER_FILES}"}
        words = [str(each) for each in (*argv, "--spool", self.spool, "--leave", self.leave)]
        process = subprocess.Popen(words, stdin=theirs, env=environment)
        theirs.close()
        try:
            yield ours
        finally:
            ours.close()
            assert process.wait(120) == 0

    def lines(self, text: bytes) -> list[dict[str, Any]]:
        with self.line() as line:
            line.sendall(text)
            with line.makefile("rb") as answers:
                return [json.loads(each) for each in answers]

    def __call__(self, verb: str, **said: Any) -> dict[str, Any]:
        return self.lines(json.dumps({"verb": verb} | said).encode() + b"\n")[-1]


@pytest.fixture(scope="module")
def asker(space: Path, golden: Callable[[str], Disk]) -> Asker:
    spool = space / "spool"
    spool.mkdir()
    os.chown(spool, 0, GROUP)
    Agent(space / "answer-store")("backup", golden("small").path, "--name", "pc").ok()
    return Asker(space / "answer-store", spool)


def test_a_folder_is_listed_and_a_file_fetched(asker: Asker) -> None:
    parts = asker("look", image="pc", partition="", path="/")["done"]
    where = {"image": "pc", "partition": parts["partitions"][0]["partition"]}
    listed = asker("look", path="/", **where)["done"]
    [first, *_] = [each for each in listed["entries"] if each["size"]]
    path = f"/{first['name']}"
    assert asker("look", path=path, **where)["done"]["kind"] == "file"
    made = asker("fetch", id=ID, path=path, **where)["done"]
    assert made == {"file": "data", "size": first["size"], "called": first["name"]}
    found = asker.spool / ID / "data"
    assert (found.stat().st_gid, found.stat().st_mode & 0o777) == (GROUP, 0o640)
    assert (found.parent.stat().st_gid, found.parent.stat().st_mode & 0o777) == (GROUP, 0o750)
    assert asker("drop", ids=[ID]) == {"done": {}}
    assert list(asker.spool.iterdir()) == []
    assert left_behind() == []


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_a_disk_is_made_whole(asker: Asker, golden: Callable[[str], Disk], kind: str) -> None:
    lines = asker.lines(
        json.dumps(
            {"verb": "export", "id": ID, "image": "pc", "disk": "disk0", "format": kind}
        ).encode()
        + b"\n"
    )
    assert lines[0]["total"] > 0
    made = lines[-1]["done"]
    path = asker.spool / ID / made["file"]
    assert path.stat().st_size == made["size"] and made["called"].endswith(f"-disk0.{kind}")
    raw = asker.spool / "raw"
    sh("qemu-img", "convert", "-O", "raw", path, raw)
    assert hash_of(raw) == hash_of(golden("small").path)
    raw.unlink()
    # What is kept stays, what nobody knows of goes.
    assert asker("keep", ids=[ID]) == {"done": {}} and path.exists()
    assert asker("keep", ids=[]) == {"done": {}} and list(asker.spool.iterdir()) == []


def test_who_hangs_up_ends_it_and_nothing_stays(asker: Asker) -> None:
    with asker.line() as line:
        said = {"verb": "export", "id": ID, "image": "pc", "disk": "disk0", "format": "raw"}
        line.sendall(json.dumps(said).encode() + b"\n")
        assert "total" in json.loads(line.makefile("rb").readline())
        deadline = time.monotonic() + 60
        while not list((asker.spool / ID).rglob("*.raw")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert list(asker.spool.iterdir()) == []
    assert left_behind() == []


WRONG: list[tuple[bytes, str]] = [
    (b"\n", "no JSON"),
    (b"[]\n", "no object"),
    (b'{"verb": "mount", "image": "pc"}\n', "no such verb"),
    (b'{"verb": "look", "image": "pc", "path": 1, "partition": ""}\n', "path is no text"),
    (b'{"verb": "look", "image": "--help", "path": "/", "partition": ""}\n', "--help"),
    (b'{"verb": "look", "image": "../../x", "path": "/", "partition": ""}\n', "../../x"),
    (b'{"verb": "look", "image": "pc", "path": "x", "partition": ""}\n', "no path"),
    (b'{"verb": "look", "image": "pc", "path": "/", "partition": "disk9:1"}\n', "no partition"),
    (b'{"verb": "fetch", "id": "../etc", "image": "pc", "path": "/"}\n', "id is none"),
    (
        b'{"verb": "fetch", "id": "0123456789abcdef", "image": "pc", "partition": "",'
        b' "path": "/nothing"}\n',
        "no /nothing",
    ),
    (
        b'{"verb": "export", "id": "0123456789abcdef", "image": "pc", "disk": "disk0",'
        b' "format": "exe"}\n',
        "no format",
    ),
    (b'{"verb": "drop", "ids": ["..", "."]}\n', "id is none"),
    (b'{"verb": "keep", "ids": "all"}\n', "no list"),
    (b"x" * 70_000, "too long"),
]


@pytest.mark.parametrize(("text", "word"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_request_is_refused_in_words(asker: Asker, text: bytes, word: str) -> None:
    said = asker.lines(text)[-1]
    assert word in said["error"] and said["remedy"]
    assert list(asker.spool.iterdir()) == []


def test_what_has_no_room_is_refused_before_it_begins(asker: Asker) -> None:
    full = Asker(asker.store, asker.spool, leave=1 << 60)
    said = full("export", id=ID, image="pc", disk="disk0", format="raw")
    assert "bytes left" in said["error"] and list(asker.spool.iterdir()) == []
