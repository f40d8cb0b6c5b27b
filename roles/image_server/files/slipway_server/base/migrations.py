# SPDX-License-Identifier: GPL-3.0-or-later
"""What each form of the state has that the one before had not: a step each, never changed again.

A step runs inside a transaction: it is done as a whole or not at all, and may run again. It reads
other files, but writes none: `tidy` removes what has been taken over, once that is on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from . import files

# Before there was one file: each with its tables, which are the same there and here.
_FILES = {
    "sessions.sqlite3": ("sessions",),
    "jobs.sqlite3": ("jobs",),
    "next_boots.sqlite3": ("next_boots",),
    "registrations.sqlite3": ("registrations", "identities"),
}
_OF_MACHINES = {
    "sessions": "one_open_session",
    "jobs": "one_open_job",
    "next_boots": "one_armed_order",
}
_KEYED = ("registrations", "identities")


def _one_file(db: sqlite3.Connection, folder: Path) -> None:
    """Form 1: sessions, jobs, orders, registrations and identities in one file."""
    for table, index in _OF_MACHINES.items():
        db.execute(
            f"CREATE TABLE {table} (id TEXT PRIMARY KEY, machine TEXT NOT NULL,"
            " state TEXT NOT NULL, ended_at REAL, body TEXT NOT NULL) STRICT"
        )
        db.execute(f"CREATE UNIQUE INDEX {index} ON {table} (machine) WHERE state != 'ended'")
    for table in _KEYED:
        db.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")
    for name, tables in _FILES.items():
        if (folder / name).exists():
            with closing(sqlite3.connect(folder / name)) as before:
                # A file that was made and died before its tables has version 0, and holds nothing.
                if before.execute("PRAGMA user_version").fetchone()[0]:
                    for table in tables:
                        _copy(before, db, table)


def _copy(before: sqlite3.Connection, after: sqlite3.Connection, table: str) -> None:
    columns = "key, body" if table in _KEYED else "id, machine, state, ended_at, body"
    rows = before.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")
    places = ", ".join("?" * len(columns.split(", ")))
    after.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)


def _jobs_for_everybody(db: sqlite3.Connection, _: Path) -> None:
    """Form 2: a job says what it does, who wished it, and how its machine arrives.

    Until then each was of a machine that waited, and what it did was the action of a menu's item.
    And what people do becomes a line that stays as it is.
    """
    for identifier, text in db.execute("SELECT id, body FROM jobs").fetchall():
        body = json.loads(text)
        body["verb"] = body.pop("action")
        body |= {"arrival": "waits", "by": "", "options": {}, "after": "as_found"}
        db.execute("UPDATE jobs SET body = ? WHERE id = ?", (json.dumps(body), identifier))
    db.execute(
        "CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,"
        " body TEXT NOT NULL) STRICT"
    )
    refuse = "BEGIN SELECT RAISE(ABORT, 'a line of the audit stays as it is'); END"
    db.execute(f"CREATE TRIGGER audit_stays BEFORE UPDATE ON audit {refuse}")
    db.execute(
        "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit"
        f" WHEN old.number > (SELECT max(number) FROM audit) - 100000 {refuse}"
    )


def _looked_after(db: sqlite3.Connection, _: Path) -> None:
    """Form 3: what is said of images, and what was done about them last."""
    for table in ("labels", "aliases", "upkeep"):
        db.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")


def _schedules(db: sqlite3.Connection, _: Path) -> None:
    """Form 4: where schedules stand, their windows, and each machine's outcome in each."""
    for table in ("schedules", "windows", "nights"):
        db.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")


def _told(db: sqlite3.Connection, _: Path) -> None:
    """Form 5: what is to be told, what was told of already, and how far each sink has got."""
    db.execute(
        "CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,"
        " body TEXT NOT NULL) STRICT"
    )
    for table in ("told", "sinks"):
        db.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")


def _history(db: sqlite3.Connection, _: Path) -> None:
    """Form 6: the store's room day by day, and how long backups took."""
    db.execute("CREATE TABLE history (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT")


MIGRATIONS: tuple[Callable[[sqlite3.Connection, Path], None], ...] = (
    _one_file,
    _jobs_for_everybody,
    _looked_after,
    _schedules,
    _told,
    _history,
)


def tidy(folder: Path) -> None:
    """Remove files whose content has been taken over."""
    old = [folder / (name + suffix) for name in _FILES for suffix in ("-wal", "-shm", "")]
    there = [path for path in old if path.exists()]
    if there:
        # The new file's name must outlast a power failure before the old ones go.
        files.sync_folder(folder)
    for path in there:
        path.unlink()
