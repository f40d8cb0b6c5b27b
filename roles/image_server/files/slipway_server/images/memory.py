# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service remembers to save work: sound reads, keys for proofs, summaries of manifests.

Losing this file costs time, never data, so a broken one is simply made anew: a chunk without its
key is sent once more, or is read through, and has it again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .store import Fingerprint

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reads (
    digest BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ino INTEGER,
    at REAL, content_size INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summaries (
    name TEXT, version TEXT, size INTEGER, mtime_ns INTEGER, body TEXT,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (digest BLOB PRIMARY KEY, key BLOB) STRICT, WITHOUT ROWID;
"""


# A version, its manifest file, and what a list shows of it.
Summary = tuple[str, Fingerprint, dict[str, Any]]


@dataclass(frozen=True)
class Read:
    """One read-through of a chunk. ``content_size`` None: it was not sound."""

    digest: str
    fingerprint: Fingerprint
    at: float
    content_size: int | None
    key: bytes | None = None


class Memory:
    """Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make a new one when it is damaged."""
        self._lock = threading.Lock()
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = _open(path)
        self._bad = {
            row[0].hex(): Fingerprint(*row[1:])
            for row in self._db.execute(
                "SELECT digest, size, mtime_ns, ino FROM reads WHERE content_size IS NULL"
            )
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def is_bad(self, digest: str, fingerprint: Fingerprint) -> bool:
        """Whether a check found this very file broken."""
        return self._bad.get(digest) == fingerprint

    def recall(self, digest: str, fingerprint: Fingerprint, since: float, now: float) -> int | None:
        """The content's size, if this very file was read and found sound after ``since``.

        A read of a time to come was noted by a clock that was wrong: it says nothing.
        """
        with self._lock:
            row = self._db.execute(
                "SELECT size, mtime_ns, ino, at, content_size FROM reads WHERE digest = ?",
                (bytes.fromhex(digest),),
            ).fetchone()
        if row is None or Fingerprint(*row[:3]) != fingerprint or not since <= row[3] <= now:
            return None
        size: int | None = row[4]
        return size

    def remember(self, reads: Iterable[Read]) -> None:
        """Keep the outcome of reads."""
        reads = list(reads)
        rows = [
            (bytes.fromhex(read.digest), *read.fingerprint, read.at, read.content_size)
            for read in reads
        ]
        for read in reads:
            if read.content_size is None:
                self._bad[read.digest] = read.fingerprint
            else:
                self._bad.pop(read.digest, None)
        self._keep("INSERT OR REPLACE INTO reads VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._keep_keys((read.digest, read.key) for read in reads if read.key is not None)

    def keep_key(self, digest: str, key: bytes) -> None:
        """Keep what proofs of a chunk are checked with."""
        self._keep_keys([(digest, key)])

    def _keep_keys(self, found: Iterable[tuple[str, bytes]]) -> None:
        rows = [(bytes.fromhex(digest), key) for digest, key in found]
        self._keep("INSERT OR IGNORE INTO keys VALUES (?, ?)", rows)

    def key(self, digest: str) -> bytes | None:
        """The key of a chunk's content, if it was ever here. Says nothing about the file."""
        with self._lock:
            row = self._db.execute(
                "SELECT key FROM keys WHERE digest = ?", (bytes.fromhex(digest),)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def summary(self, name: str, version: str, fingerprint: Fingerprint) -> dict[str, Any] | None:
        """The summary kept for this very manifest file."""
        with self._lock:
            row = self._db.execute(
                "SELECT body FROM summaries"
                " WHERE name = ? AND version = ? AND size = ? AND mtime_ns = ?",
                (name, version, fingerprint.size, fingerprint.mtime_ns),
            ).fetchone()
        if row is None:
            return None
        body: dict[str, Any] = json.loads(row[0])
        return body

    def keep_summaries(self, name: str, summaries: Iterable[Summary]) -> None:
        """Keep summaries of an image's manifest files, all in one transaction."""
        rows = [
            (name, version, fingerprint.size, fingerprint.mtime_ns, json.dumps(body))
            for version, fingerprint, body in summaries
        ]
        self._keep("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?)", rows)

    def _keep(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Write rows; on a full disk they are forgotten, which costs time and nothing else."""
        try:
            with self._lock, self._db:
                self._db.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            log.warning("%d rows are not remembered: %s", len(rows), error)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(_SCHEMA)
    return db
