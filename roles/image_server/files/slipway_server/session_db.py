"""Sessions on disk: one SQLite file, written through a single thread, in order."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .session import Session

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    state TEXT NOT NULL,
    ended_at REAL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_session ON sessions (machine) WHERE state != 'ended';
"""


class SessionDb:
    """Durable before the answer: every awaited save is on disk (synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; ``path``'s folder must exist."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="session-db")
        self._db = self._thread.submit(_open, path).result()

    async def save(self, *sessions: Session) -> None:
        """Store sessions as they are now, in one transaction."""
        if sessions:
            await asyncio.wrap_future(self._thread.submit(self._save, sessions))

    async def forget(self, ended_before: float) -> None:
        """Drop sessions that ended before that time."""
        await asyncio.wrap_future(self._thread.submit(self._forget, ended_before))

    def load(self) -> list[Session]:
        """Every stored session."""
        return self._thread.submit(self._load).result()

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    def _save(self, sessions: tuple[Session, ...]) -> None:
        rows = [
            (item.id, item.machine, item.state, item.ended_at, json.dumps(dataclasses.asdict(item)))
            for item in sessions
        ]
        with self._db:
            self._db.executemany(
                "INSERT INTO sessions (id, machine, state, ended_at, body) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
                " ended_at = excluded.ended_at, body = excluded.body",
                rows,
            )

    def _forget(self, ended_before: float) -> None:
        with self._db:
            self._db.execute("DELETE FROM sessions WHERE ended_at < ?", (ended_before,))

    def _load(self) -> list[Session]:
        rows = self._db.execute("SELECT body FROM sessions").fetchall()
        return [_from_body(json.loads(row[0])) for row in rows]


def _from_body(body: dict[str, Any]) -> Session:
    known = {item.name for item in dataclasses.fields(Session)}
    body = {key: value for key, value in body.items() if key in known}
    return Session(**{**body, "macs": tuple(body["macs"])})


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        script = f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
        db.executescript(script)
    elif found != _SCHEMA_VERSION:
        raise RuntimeError(f"{path} has schema {found}, this service knows {_SCHEMA_VERSION}")
    return db
