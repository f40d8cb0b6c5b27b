# SPDX-License-Identifier: GPL-3.0-or-later
"""Space in no partition that is not empty: said beforehand, and saved when asked for."""

import random
from pathlib import Path
from typing import Any

import pytest

from .conftest import Agent
from .disk_builder import MIB, attached, filled, make_ext, same_ranges, sh
from .hashes import hash_of

SIZE = 600 * MIB
TABLES = {
    "gpt": "label: gpt\nstart=1MiB, size=8MiB\nstart=400MiB, size=8MiB\n",
    "mbr": "label: dos\nstart=1MiB, size=8MiB, type=83\nstart=400MiB, size=100MiB, type=5\n"
    "start=401MiB, size=8MiB, type=83\n",
}


def blank(room: Path, script: str, sector: int = 512, size: int = SIZE) -> Path:
    path = room / "disk"
    with path.open("wb") as file:
        file.truncate(size)
    with attached(path, sector) as device:
        quiet = ("-q", "--no-reread", "--no-tell-kernel")
        sh("sfdisk", *quiet, device, input=script)
    return path


def put(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def warnings(records: list[dict[str, Any]]) -> list[str]:
    return [each["message"] for each in records if each["type"] == "warning"]


def probed(agent: Agent, path: Path) -> list[str]:
    [disk] = agent("probe", path).ok()["disks"]
    return list(disk["warnings"])


@pytest.mark.parametrize("kind", [pytest.param("gpt", marks=pytest.mark.slow), "mbr"])
def test_gap_that_is_not_empty_is_told_and_kept_when_asked(
    kind: str, agent: Agent, room: Path
) -> None:
    path = blank(room, TABLES[kind])
    assert probed(agent, path) == []
    run = agent("backup", path, "--name", "pc")
    assert run.ok()["read"] < 64 * MIB and warnings(run.records) == []
    at, content = 200 * MIB + 4096, random.Random(3).randbytes(3 * MIB).replace(b"\0", b"\1")
    put(path, at, content)
    # The ends of a gap are saved; nothing there is said to be left out.
    put(path, 9 * MIB, b"at its beginning")
    put(path, 400 * MIB - 512, b"at its end")
    run = agent("backup", path, "--name", "pc")
    run.ok()
    [warning] = warnings(run.records)
    assert f"disk0 ({path})" in warning and f" {len(content)} bytes from byte " in warning
    start, end = (int(each.split()[0].rstrip(";")) for each in warning.split("byte ")[1:3])
    assert start <= at and at + len(content) <= end and end - start <= len(content) + 9 * MIB
    assert "--keep-gaps" in warning
    assert probed(agent, path) == [warning]
    assert "warning: disk0" in agent.text("probe", path)
    phases = {each["phase"] for each in run.records if each["type"] == "progress"}
    assert "gaps" in phases

    target = filled(room / "target", SIZE)
    agent("restore", "pc", target).ok()
    assert target.read_bytes()[at : at + 4096] != content[:4096]
    kept = agent("backup", path, "--name", "full", "--keep-gaps")
    kept.ok()
    assert warnings(kept.records) == []
    agent("restore", "full", target).ok()
    same_ranges(path, target, [(9 * MIB, 400 * MIB)])
    assert agent("compare", "full", target).code == 0


def test_space_behind_all_partitions(agent: Agent, room: Path) -> None:
    """As a table that lost its last entry leaves it."""
    path = blank(room, TABLES["gpt"])
    make_file(room, path, 450 * MIB, 40 * MIB, room)
    [warning] = probed(agent, path)
    assert "from byte 45" in warning or "from byte 47" in warning


def test_samples_say_that_they_are_samples(agent: Agent, room: Path) -> None:
    """On a disk whose empty part would take the night; a file's holes cost nothing."""
    path = blank(room, "label: gpt\nstart=1MiB, size=8MiB\n", size=64 << 30)
    put(path, 1 << 30, random.Random(5).randbytes(2 * MIB))
    [warning] = probed(agent, path)
    assert "at least" in warning


def make_file(room: Path, path: Path, offset: int, size: int, tree: Path) -> None:
    """An ext4 at a place of a disk."""
    content = room / "content"
    with content.open("wb") as file:
        file.truncate(size)
    folder = room / "few"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(random.Random(9).randbytes(MIB))
    make_ext("ext4", "-b", "4096")(content, 512, folder)
    sh(
        "dd",
        f"if={content}",
        f"of={path}",
        "bs=1M",
        f"seek={offset // MIB}",
        "conv=notrunc,sparse",
        "status=none",
    )


UNITS = {
    "gpt": "label: gpt\nstart=1MiB, size=100MiB\nstart=101MiB, size=300MiB\n",
    "mbr": "label: dos\nstart=1MiB, size=100MiB, type=7\nstart=101MiB, size=300MiB, type=83\n",
}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize(("written", "read"), [(4096, 512), (512, 4096)])
def test_table_in_other_units(kind: str, written: int, read: int, agent: Agent, room: Path) -> None:
    """A disk from a USB enclosure with other sectors, or the other way round."""
    path = blank(room, UNITS[kind], written)
    for start, size in ((1, 100), (101, 300)):
        make_file(room, path, start * MIB, size * MIB, room)
    before = hash_of(path)
    with attached(path, read) as device:
        [look] = agent("probe", device).ok()["disks"]
        run = agent("backup", device, "--name", "pc")
        said = " ".join(warnings(run.records))
        if run.code:
            said = run.failed("source_refused")["message"]
            assert said == look["error"]["message"]
            assert "--whole disk0:disk" in run.last["remedy"]
        elif run.ok()["read"] < SIZE:
            assert look["warnings"] == warnings(run.records)
        if run.code or run.ok()["read"] < SIZE:
            assert f"in units of {written} bytes" in said and "enclosure" in said
            assert "--whole disk0:disk" in said
        agent("backup", device, "--name", "full", "--whole", "disk0:disk").ok()
    assert hash_of(path) == before
    target = filled(room / "target", SIZE)
    with attached(target, read) as device:
        agent("restore", "full", device, "--target", f"disk0={device}").ok()
    assert hash_of(target) == before
