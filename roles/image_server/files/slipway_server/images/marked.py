# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks are named, and which of them by one version alone: a million and more of them."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

# Of so many, the dictionary takes about 70 MiB; what is more goes to a file.
_MOST_IN_MEMORY = 400_000
# The owner of a chunk that several versions name.
SHARED = -1
_ADD = (
    "INSERT INTO marked VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET owner = -1"
    " WHERE owner != excluded.owner"
)


class Marked:
    """Belongs to one thread. The file is gone with `close`."""

    def __init__(self, path: Path, most: int = _MOST_IN_MEMORY) -> None:
        """``path`` is for the file, if there will be need of one."""
        self._path = path
        self._most = most
        self._owners: dict[bytes, int] = {}
        self._db: sqlite3.Connection | None = None
        path.unlink(missing_ok=True)

    def add(self, digests: Iterable[bytes], owner: int) -> None:
        """Note that a version, by its number, names chunks."""
        if self._db is not None:
            with self._db:
                self._db.executemany(_ADD, ((digest, owner) for digest in digests))
            return
        owners = self._owners
        for digest in digests:
            if owners.setdefault(digest, owner) != owner:
                owners[digest] = SHARED
        if len(owners) > self._most:
            self._to_file()

    def _to_file(self) -> None:
        db = sqlite3.connect(self._path, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(
                "CREATE TABLE marked (digest BLOB PRIMARY KEY, owner INTEGER) STRICT, WITHOUT ROWID"
            )
            with db:
                db.executemany("INSERT INTO marked VALUES (?, ?)", self._owners.items())
        except sqlite3.Error as error:
            # On a full disk more than ever somebody has to make room: it takes the memory.
            log.warning("what versions name is kept in memory: %s", error)
            db.close()
            self._path.unlink(missing_ok=True)
            self._most = sys.maxsize
            return
        self._db = db
        self._owners.clear()

    def owner(self, digest: bytes) -> int | None:
        """Who names a chunk: a number, SHARED, or None: nobody."""
        if self._db is None:
            return self._owners.get(digest)
        query = "SELECT owner FROM marked WHERE digest = ?"
        row = self._db.execute(query, (digest,)).fetchone()
        return None if row is None else row[0]

    def __len__(self) -> int:
        """How many chunks are named."""
        if self._db is None:
            return len(self._owners)
        count: int = self._db.execute("SELECT count(*) FROM marked").fetchone()[0]
        return count

    def close(self) -> None:
        """Let go of all of it."""
        self._owners.clear()
        if self._db is not None:
            self._db.close()
            self._path.unlink(missing_ok=True)
