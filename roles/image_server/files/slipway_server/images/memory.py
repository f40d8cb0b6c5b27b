# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service remembers to save work: sound reads, keys for proofs, summaries of manifests.

A chunk that came and was proven then, and that a sync has brought to the disk, is remembered apart
from reads: nobody has read its file since, so no check may count it.

Losing this file costs time, never data, so a broken one is simply made anew: a chunk without its
key is sent once more, or is read through, and has it again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .store import Fingerprint, Kept

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
CREATE INDEX IF NOT EXISTS oldest_reads ON reads (at);
CREATE TABLE IF NOT EXISTS healths (
    name TEXT, version TEXT, lacking TEXT DEFAULT '[]', more INTEGER DEFAULT 0, own INTEGER,
    checked REAL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (digest BLOB PRIMARY KEY, key BLOB) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (
    digest BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ino INTEGER,
    at REAL, content_size INTEGER
) STRICT, WITHOUT ROWID;
"""
_LAST = "SELECT size, mtime_ns, ino, at, content_size FROM {} WHERE digest = ?"

_LACKING = (
    "INSERT INTO healths (name, version, lacking, more) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name, version)"
    " DO UPDATE SET lacking = excluded.lacking, more = excluded.more"
)
# More are not told apart: then only a look at all chunks says that a version is whole again.
_MOST_LACKING = 1000
_KEPT_AT_ONCE = 500

# A version, its manifest file, and what a list shows of it.
Summary = tuple[str, Fingerprint, dict[str, Any]]
# A version, and the chunks that are missing or bad.
Lacking = tuple[str, Sequence[str]]


class Read(NamedTuple):
    """One read-through of a chunk. ``content_size`` None: it was not sound."""

    digest: str
    fingerprint: Fingerprint
    at: float
    content_size: int | None
    key: bytes | None = None


@dataclass(frozen=True)
class Health:
    """What is known of a version's chunks; see `health`."""

    lacking: tuple[str, ...] = ()
    # So many beside them.
    more: int = 0
    own: int | None = None
    checked: float | None = None


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
        found = self._last("reads", digest, since, now)
        return found.content_size if found and found.fingerprint == fingerprint else None

    def sound(self, digest: str, since: float, now: float) -> Read | None:
        """A chunk's file that was read and found sound after ``since``, or came and was kept."""
        for table in ("reads", "kept"):
            found = self._last(table, digest, since, now)
            if found and found.content_size is not None and not self.is_bad(*found[:2]):
                return found
        return None

    def _last(self, table: str, digest: str, since: float, now: float) -> Read | None:
        with self._lock:
            row = self._db.execute(_LAST.format(table), (bytes.fromhex(digest),)).fetchone()
        if row is None or not since <= row[3] <= now:
            return None
        return Read(digest, Fingerprint(*row[:3]), *row[3:])

    def remember(self, reads: Iterable[Read]) -> None:
        """Keep the outcome of reads."""
        reads = list(reads)
        for read in reads:
            if read.content_size is None:
                self._bad[read.digest] = read.fingerprint
            else:
                self._bad.pop(read.digest, None)
        self._keep("INSERT OR REPLACE INTO reads VALUES (?, ?, ?, ?, ?, ?)", _read_rows(reads))
        self._keep_keys((read.digest, read.key) for read in reads if read.key is not None)

    def keep_kept(self, kept: Sequence[Kept]) -> None:
        """Keep which files are on the disk as they came; each was proven before it got its name."""
        # In parts: a minute's chunks are many, and others wait for the file meanwhile.
        for start in range(0, len(kept), _KEPT_AT_ONCE):
            rows = _read_rows(kept[start : start + _KEPT_AT_ONCE])
            self._keep("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", rows)

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

    def keep_summaries(
        self, name: str, summaries: Iterable[Summary], lacking: Iterable[Lacking]
    ) -> None:
        """Keep summaries of an image's manifest files, and what the versions lack, in one go."""
        rows = [
            (name, version, fingerprint.size, fingerprint.mtime_ns, json.dumps(body))
            for version, fingerprint, body in summaries
        ]
        self._keep_all(
            ("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?)", rows),
            (_LACKING, _lacking_rows(name, lacking)),
        )

    def summaries(self, name: str) -> dict[str, tuple[int, int, str]]:
        """Size and time of each manifest file of an image, and the summary kept for it."""
        query = "SELECT version, size, mtime_ns, body FROM summaries WHERE name = ?"
        with self._lock:
            return {row[0]: row[1:] for row in self._db.execute(query, (name,))}

    def summarized(self) -> dict[str, set[str]]:
        """The versions of each image that a summary is kept of, of whatever file."""
        with self._lock:
            rows = self._db.execute("SELECT name, version FROM summaries").fetchall()
        found: dict[str, set[str]] = {}
        for name, version in rows:
            found.setdefault(name, set()).add(version)
        return found

    def healths(self, name: str) -> dict[str, Health]:
        """What is known of each version of an image."""
        query = "SELECT version, lacking, more, own, checked FROM healths WHERE name = ?"
        with self._lock:
            rows = self._db.execute(query, (name,)).fetchall()
        return {
            row[0]: Health(() if row[1] == "[]" else tuple(json.loads(row[1])), *row[2:])
            for row in rows
        }

    def note_lacking(self, name: str, lacking: Iterable[Lacking]) -> None:
        """Keep which chunks versions of an image lack."""
        self._keep(_LACKING, _lacking_rows(name, lacking))

    def note_own(self, own: Iterable[tuple[str, str, int]]) -> None:
        """Keep how many bytes versions have alone: name, version, bytes."""
        self._keep(
            "INSERT INTO healths (name, version, own) VALUES (?, ?, ?)"
            " ON CONFLICT (name, version) DO UPDATE SET own = excluded.own",
            list(own),
        )

    def note_checked(self, name: str, version: str, at: float) -> None:
        """Keep when every chunk of a version was read."""
        self._keep(
            "INSERT INTO healths (name, version, checked) VALUES (?, ?, ?)"
            " ON CONFLICT (name, version) DO UPDATE SET checked = excluded.checked",
            [(name, version, at)],
        )

    def met(self, digests: Iterable[str]) -> None:
        """Note chunks that are there: those never read are the first to be."""
        rows = [(bytes.fromhex(digest),) for digest in digests]
        self._keep("INSERT OR IGNORE INTO reads VALUES (?, 0, 0, 0, 0.0, -1)", rows)

    def forget(self, digests: Iterable[str]) -> None:
        """Forget chunks that were removed."""
        digests = list(digests)
        for digest in digests:
            self._bad.pop(digest, None)
        rows = [(bytes.fromhex(digest),) for digest in digests]
        for table in ("reads", "keys", "kept"):
            self._keep(f"DELETE FROM {table} WHERE digest = ?", rows)

    def oldest_reads(self, before: float, most: int) -> list[str]:
        """Chunks that were last read before that time, the oldest reads first."""
        query = "SELECT digest FROM reads WHERE at < ? ORDER BY at LIMIT ?"
        with self._lock:
            return [row[0].hex() for row in self._db.execute(query, (before, most))]

    def count(self) -> int:
        """How many chunks are known. Goes through all of them."""
        with self._lock:
            found: int = self._db.execute("SELECT count(*) FROM reads").fetchone()[0]
        return found

    def oldest_read(self) -> float:
        """When the chunk was read that was read the longest ago."""
        with self._lock:
            found: float | None = self._db.execute("SELECT min(at) FROM reads").fetchone()[0]
        return found or 0.0

    def bad(self) -> dict[str, Fingerprint]:
        """The files that were found broken."""
        return dict(self._bad)

    def _keep(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        self._keep_all((statement, rows))

    def _keep_all(self, *changes: tuple[str, list[tuple[Any, ...]]]) -> None:
        """Write rows; on a full disk they are forgotten, which costs time and nothing else."""
        try:
            with self._lock, self._db:
                for statement, rows in changes:
                    self._db.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            count = sum(len(rows) for _, rows in changes)
            log.warning("%d rows are not remembered: %s", count, error)


def _read_rows(reads: Iterable[Read | Kept]) -> list[tuple[Any, ...]]:
    return [
        (bytes.fromhex(read.digest), *read.fingerprint, read.at, read.content_size)
        for read in reads
    ]


def _lacking_rows(name: str, lacking: Iterable[Lacking]) -> list[tuple[Any, ...]]:
    return [
        (name, version, json.dumps(digests[:_MOST_LACKING]), max(0, len(digests) - _MOST_LACKING))
        for version, digests in lacking
    ]


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(_SCHEMA)
    return db
