# SPDX-License-Identifier: GPL-3.0-or-later
"""A SQLite file whose every commit is on disk, and whose tables are those that its user knows."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def open_file(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open or create the file; ``path``'s folder must exist.

    RuntimeError when another version of the service has made it. The connection may be used in
    another thread than this one, by one thread at a time.
    """
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        db.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")
    elif found != version:
        raise RuntimeError(f"{path} has schema {found}, this service knows {version}")
    return db
