# SPDX-License-Identifier: GPL-3.0-or-later
"""What each open backup has sent, proven or been told of: on disk, so restarts cost nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from .quota import Amount

_SCHEMA = """
CREATE TABLE IF NOT EXISTS grants (
    session TEXT, digest BLOB, sent INTEGER, PRIMARY KEY (session, digest)
) STRICT, WITHOUT ROWID;
"""
# As many rows are dropped in one go as delay nobody who waits for the file.
_SLICE = 5000


class Grants:
    """Safe to use from several threads.

    A power failure may take the newest rows, as it takes the newest chunks: then the backup is
    told what is missing when it publishes.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make a new one when it is damaged."""
        self._lock = threading.Lock()
        try:
            self._db = _open(path)
            rows = self._amounts()
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = _open(path)
            rows = self._amounts()
        self._used = {session: Amount(sent, chunks) for session, sent, chunks in rows}

    def _amounts(self) -> list[tuple[str, int, int]]:
        query = "SELECT session, sum(sent), count(*) FROM grants GROUP BY session"
        return self._db.execute(query).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def used(self, session: str) -> Amount:
        """What a session has sent and proven so far, each chunk once."""
        return self._used.get(session, Amount())

    def held(self, session: str, digests: Iterable[str]) -> set[str]:
        """Those of the chunks that the session has sent or proven."""
        query = "SELECT 1 FROM grants WHERE session = ? AND digest = ?"
        with self._lock:
            return {
                digest
                for digest in digests
                if self._db.execute(query, (session, bytes.fromhex(digest))).fetchone()
            }

    def add(self, session: str, digests: Iterable[str], sent: int = 0) -> None:
        """Note chunks; ``sent`` is how many bytes each took on the wire, 0 for a proof."""
        rows = [(session, bytes.fromhex(digest), sent) for digest in digests]
        if not rows:
            return
        with self._lock:
            with self._db:
                query = "INSERT OR IGNORE INTO grants VALUES (?, ?, ?)"
                new = self._db.executemany(query, rows).rowcount
            used = self.used(session)
            self._used[session] = Amount(used.sent + new * sent, used.chunks + new)

    def sessions(self) -> set[str]:
        """Those that anything is noted of."""
        return set(self._used)

    def drop(self, sessions: Iterable[str]) -> None:
        """Forget sessions that have ended. May take a second for a large one."""
        query = (
            "DELETE FROM grants WHERE session = ?1 AND digest IN"
            " (SELECT digest FROM grants WHERE session = ?1 LIMIT ?2)"
        )
        for session in sessions:
            left = 1
            while left:
                with self._lock, self._db:
                    left = self._db.execute(query, (session, _SLICE)).rowcount
            self._used.pop(session, None)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(_SCHEMA)
    return db
