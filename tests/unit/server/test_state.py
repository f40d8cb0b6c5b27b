# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: older state becomes it, whatever happens meanwhile; newer state is left alone."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base.migrations import MIGRATIONS
from slipway_server.base.records import Records
from slipway_server.base.state_file import NAME, StateFile
from slipway_server.server import SOCKETS
from slipway_server.sessions.session import Session

from .choosing import Runner, make_chooser
from .conftest import ROOT, Service

# Made by the version that had a file for each kind: three jobs, four sessions, an order, two PCs.
BEFORE = (ROOT / "tests/fixtures/state_of_four_files.sql").read_text()
TABLES = ("sessions", "jobs", "next_boots", "registrations", "identities")
PATHS = [str(ROOT / "client_image/agent"), str(ROOT / "roles/image_server/files")]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(PATHS), "PYTHONDONTWRITEBYTECODE": "1"}
OPEN = (
    "import sys, pathlib; from slipway_server.base.state_file import StateFile; "
    "StateFile(pathlib.Path(sys.argv[1])).close()"
)


def four_files(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """State as it was; return what each table holds."""
    folder.mkdir(parents=True, exist_ok=True)
    held: dict[str, list[tuple[Any, ...]]] = {}
    for name, version, script in re.findall(
        r"^-- (\w+)\.sqlite3 (\d+)\n(.*?)(?=^-- |\Z)", BEFORE, re.DOTALL | re.MULTILINE
    ):
        with closing(sqlite3.connect(folder / f"{name}.sqlite3")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(script + f"PRAGMA user_version = {version};")
            held |= {table: rows(db, table) for table in TABLES if f"TABLE {table} " in script}
    assert all(held[table] for table in TABLES)
    return held


def rows(db: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


def as_now(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A job of then as it is kept now: it was chosen at its machine, which waited."""
    body = json.loads(row[-1])
    more = {"verb": body.pop("action"), "arrival": "waits", "by": "", "options": {}}
    return (*row[:-1], json.dumps(body | more | {"after": "as_found"}))


def as_wanted(before: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """State of then as it is kept now."""
    return before | {"jobs": [as_now(row) for row in before["jobs"]]}


def held_now(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What the state file holds, after it was opened once more."""
    StateFile(folder).close()
    assert sorted(path.name for path in folder.iterdir()) == [NAME]
    with closing(sqlite3.connect(folder / NAME)) as db:
        return {table: rows(db, table) for table in TABLES}


def test_all_that_was_there_before_is_there_afterwards(tmp_path: Path) -> None:
    before = four_files(tmp_path)
    wanted = as_wanted(before)
    assert held_now(tmp_path) == wanted
    assert held_now(tmp_path) == wanted
    state = StateFile(tmp_path)
    kept = Records(state, Session, "sessions").load()
    state.close()
    assert [item.id for item in kept] == [row[0] for row in before["sessions"]]


def test_a_service_goes_on_where_the_one_before_stopped(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    service.stop()
    (service.state / NAME).unlink()
    before = four_files(service.state)
    service.start()
    for path, key, table in (
        ("/v1/sessions", "sessions", "sessions"),
        ("/v1/jobs", "jobs", "jobs"),
        ("/v1/next-boots", "next_boots", "next_boots"),
        ("/v1/registrations", "registrations", "registrations"),
    ):
        found = service.admin.get(path).json()[key]
        assert [each["id"] for each in found] == [row[0] for row in before[table]]
        if table == "jobs":
            known_jobs = [json.loads(row[-1]) for row in before[table]]
            assert [each["verb"] for each in found] == [body["action"] for body in known_jobs]
            assert {(each["arrival"], each["after"]) for each in found} == {("waits", "as_found")}
    known = service.admin.get("/v1/identities").json()["identities"]
    assert {each["machine"] for each in known} == {row[0] for row in before["identities"]}


# Each of them, and the numbers that it may be killed at: until it gets through alive.
CALLS = ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")


def killed_at(folder: Path, call: str, number: int) -> bool:
    """Open the state in a process that dies before that system call; say whether it did."""
    # Python itself opens hundreds of files first: counted from the first of the folder's.
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(folder), "-P", str(folder / NAME)]
    for path in folder.iterdir():
        words += ["-P", str(path)]
    for suffix in ("-wal", "-shm", "-journal"):
        words += ["-P", str(folder / (NAME + suffix))]
    words += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
    done = subprocess.run(
        [*words, sys.executable, "-c", OPEN, str(folder)], env=ENVIRONMENT, check=False
    )
    assert done.returncode in (0, 128 + 9, -9)
    return done.returncode != 0


@pytest.mark.plays
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_file_operation_it_is_old_or_new(tmp_path: Path, call: str) -> None:
    for number in range(1, 200):
        folder = tmp_path / str(number)
        wanted = as_wanted(four_files(folder))
        if not killed_at(folder, call, number):
            assert number > 1, "it was never killed"
            return
        if (folder / NAME).exists():
            with closing(sqlite3.connect(folder / NAME)) as db:
                [form] = db.execute("PRAGMA user_version").fetchone()
                # Each step is done as a whole or not at all.
                assert form in range(len(MIGRATIONS) + 1)
        assert held_now(folder) == wanted
    raise AssertionError("it never got through")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[], subprocess.CompletedProcess[str]]]:
    """Start the service by hand on the state in ``tmp_path``."""
    values = {"address": "10.77.0.1", "store_dir": f"{tmp_path}/store", "state_dir": str(tmp_path)}
    config = tmp_path / "server.json"
    config.write_text(json.dumps(values))
    words = [sys.executable, "-m", "slipway_server", "--config", str(config)]
    for name in SOCKETS:
        words += [f"--{name}-socket", str(tmp_path / f"{name}.socket")]

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
        )

    yield start


@pytest.mark.parametrize("how", ["newer", "no file of SQLite"])
def test_state_that_is_not_ours_is_said_in_one_line_and_left_alone(
    tmp_path: Path, run: Callable[[], subprocess.CompletedProcess[str]], how: str
) -> None:
    path = tmp_path / NAME
    if how == "newer":
        StateFile(tmp_path).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    else:
        path.write_bytes(b"x" * 4096)
    before = path.read_bytes()
    four_files(tmp_path)
    done = run()
    assert (done.returncode, done.stdout) == (65, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("slipway_server: ") and str(path) in line
    assert ("newer" in line and "site.yml" in line) if how == "newer" else "copy" in line
    assert path.read_bytes() == before
    assert (tmp_path / "sessions.sqlite3").exists()
    unit = ROOT / "roles/image_server/templates/etc/systemd/system/slipway.service.j2"
    assert "RestartPreventExitStatus=65\n" in unit.read_text()


def on_disk(service: Service, table: str, identifier: str) -> dict[str, Any]:
    with closing(sqlite3.connect(service.state / NAME)) as db:
        [[body]] = db.execute(f"SELECT body FROM {table} WHERE id = ?", (identifier,)).fetchall()
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_job_and_its_session_are_one_transaction(own_service: Callable[..., Service]) -> None:
    """A trigger that fails the job's row fails the session's with it."""
    service = own_service()
    pc, runner = make_chooser(service), Runner(service)
    assert pc.choose("backup").status_code == 201
    [job] = runner.poll()["begin"]
    service.stop()
    with closing(sqlite3.connect(service.state / NAME)) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    service.start()
    assert runner.open_session(job).status_code >= 500
    service.stop(9)
    with closing(sqlite3.connect(service.state / NAME)) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        db.execute("DROP TRIGGER full")
        db.commit()
    service.start()
    made = runner.open_session(job)
    assert made.status_code == 201, made.text
    assert on_disk(service, "jobs", job["id"])["session"] == made.json()["id"]
    runner.end(job["id"], "done")
    assert on_disk(service, "jobs", job["id"])["state"] == "ended"
    assert on_disk(service, "sessions", made.json()["id"])["outcome"] == "cancelled"
