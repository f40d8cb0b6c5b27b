# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see: records, lines, the PC's own screen."""

import contextlib
import io
import json
import os
import pty
import select
from dataclasses import replace
from pathlib import Path

from slipway.cli.console import Console, follow
from slipway.cli.views import JsonView, TerminalView, result_lines
from slipway.engine.errors import TargetRefused
from slipway.engine.progress import Meter, Record
from slipway.engine.result import CellCounts, DiskResult, PartitionResult, Result
from slipway.format.units import clock, size

RECORD = Record("backup", "disk0", "1", 500_000_000, 2_000_000_000, 1, 0, 100_000_000, 15, 5.0)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_units() -> None:
    assert [size(each) for each in (0, 999, 1000, 1_460_000_000, 999_999)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1.46 GB",
        "1 MB",
    ]
    assert [clock(each) for each in (None, 0, 65, 3909)] == ["?", "0:00", "1:05", "1:05:09"]


def test_meter_counts_rate_and_time_left() -> None:
    now, seen = Clock(), []
    meter = Meter(seen.append, now, interval=1000)
    with meter.phase("backup", 1000):
        meter.at("disk0", "2")
        for _ in range(20):
            now.time += 1
            meter.add(done=20, sent=5)
            meter.record()
        record = meter.record()
    assert (record.done, record.total, record.sent, record.rate, record.eta) == (
        400,
        1000,
        100,
        20,
        30,
    )
    assert (record.disk, record.partition, record.elapsed) == ("disk0", "2", 20.0)
    assert seen[-1].done == 400
    assert len(seen) == 1


def test_json_lines() -> None:
    out = io.StringIO()
    view = JsonView(out)
    view.progress(RECORD)
    view.warning("careful")
    view.error(TargetRefused("too small", "a larger one"))
    view.result(Result("backup", True, "pc", "v"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["progress", "warning", "error", "result"]
    assert set(lines[0]) == {
        "type",
        "phase",
        "disk",
        "partition",
        "done",
        "total",
        "sent",
        "written",
        "rate",
        "eta",
        "elapsed",
        "waiting",
    }
    assert lines[2] == {
        "type": "error",
        "error": "target_refused",
        "message": "too small",
        "remedy": "a larger one",
        "exit_code": 9,
    }
    assert set(lines[3]) == {
        "type",
        "verb",
        "changed",
        "image",
        "version",
        "read",
        "sent",
        "written",
        "stored",
        "cells",
        "seconds",
        "disks",
        "unreadable",
        "degraded",
        "boot_entries",
    }


def test_lines_into_a_pipe_are_spaced() -> None:
    now, out, err = Clock(), io.StringIO(), io.StringIO()
    view = TerminalView(out, err, now)
    for _ in range(12):
        view.progress(RECORD)
        now.time += 1
    assert len(err.getvalue().splitlines()) == 3
    assert "25.0%" in err.getvalue()
    assert "0:15 left" in err.getvalue()
    now.time += 5
    view.progress(replace(RECORD, waiting="waiting for the server for 9 s"))
    assert err.getvalue().endswith("0:15 left  waiting for the server for 9 s\n")


def test_result_for_people() -> None:
    part = PartitionResult("1", "ext4", "used", 10, differs=2_000_000, differing_cells=1)
    disks = (DiskResult("disk0", "/dev/sda", (part,)),)
    same = Result("restore", False, "pc", "v", cells=CellCounts(1, same=1))
    assert "equal pc@v" in result_lines(same)[0]
    differs = Result("restore", True, "pc", "v", disks=disks)
    assert result_lines(differs)[0].startswith("the disks differ from pc@v")
    assert "1  ext4: 2 MB in 1 cells differ" in result_lines(differs)[1]


def job(folder: Path, name: str, *lines: object, age: float = 0) -> None:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    when = 1_000_000 - age
    os.utime(path, (when, when))


def test_console(tmp_path: Path) -> None:
    jobs, session = tmp_path / "jobs", tmp_path / "session.json"
    console = Console(jobs, session, now=lambda: 1_000_000)
    assert console.status() == "checking in"
    session.write_text(
        json.dumps(
            {"machine": "pc1", "verb": "backup", "image": "pc1", "server": "https://127.0.0.1"}
        )
    )
    assert console.status() == "waiting for the server"
    assert all(word in console.title() for word in ("pc1", "127.0.0.1", "backup"))
    jobs.mkdir()
    job(jobs, "1.jsonl", {"type": "result", "verb": "backup", "seconds": 65, "sent": 5000}, age=50)
    assert console.status() == "backup finished in 1:05: 5 kB sent"
    job(jobs, "2.jsonl", RECORD.to_json())
    assert "25.0%" in console.status()
    assert "no news" not in console.status()
    job(jobs, "2.jsonl", RECORD.to_json(), age=-5)
    with (jobs / "2.jsonl").open("a") as file:
        file.write('{"type":"progress","phase":"ba')
    os.utime(jobs / "2.jsonl", (1_000_005, 1_000_005))
    assert "backup" in console.status()
    error = {"type": "error", "message": "too small", "remedy": "a larger one"}
    job(jobs, "3.jsonl", RECORD.to_json(), error, age=-9)
    assert console.status() == "FAILED: too small.  What helps: a larger one"


def test_console_notices_silence(tmp_path: Path) -> None:
    job(tmp_path, "1.jsonl", RECORD.to_json(), age=125)
    assert "no news for 2:05" in Console(tmp_path, tmp_path / "s", lambda: 1_000_000).status()


def test_serial_line_gets_each_line_once(tmp_path: Path) -> None:
    out, left = io.StringIO(), [None] * 4

    def pause(seconds: float) -> None:
        left.pop()
        if not left:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        follow(Console(tmp_path, tmp_path / "s"), out, sleep=pause)
    assert out.getvalue().count("checking in\r\n") == 1
    assert "\x1b" not in out.getvalue()


def test_pseudo_terminal_is_treated_like_a_serial_line(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as out:
        follow(Console(tmp_path, tmp_path / "s"), out, once=True)
        out.flush()
        # A terminal hands out what has arrived so far, which may be the first line alone.
        shown = b""
        while b"checking in" not in shown:
            assert select.select([leader], [], [], 5)[0], shown
            shown += os.read(leader, 4096)
    os.close(leader)
    assert b"checking in" in shown
    assert b"\x1b" not in shown
