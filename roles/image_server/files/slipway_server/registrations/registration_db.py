# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of registrations and the identities of machines on disk: one small SQLite file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..base.sqlite_file import open_file

_SCHEMA_VERSION = 1
_TABLES = ("registrations", "identities")
_SCHEMA = "".join(
    f"CREATE TABLE {table} (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;" for table in _TABLES
)


class RegistrationDb:
    """Durable before the answer; written through a single thread, in order."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; ``path``'s folder must exist."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registration-db")
        self._db = self._thread.submit(open_file, path, _SCHEMA, _SCHEMA_VERSION).result()

    async def put(self, table: str, key: str, body: dict[str, Any], drop: Iterable[str]) -> None:
        """Keep a row and drop others, in one transaction."""
        rows = (key, json.dumps(body)), [(each,) for each in drop]
        await asyncio.wrap_future(self._thread.submit(self._put, table, *rows))

    async def drop(self, table: str, keys: Iterable[str]) -> None:
        """Forget rows."""
        await asyncio.wrap_future(self._thread.submit(self._drop, table, [(key,) for key in keys]))

    def load(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row by its key, in the order in which they came."""
        query = f"SELECT key, body FROM {_checked(table)} ORDER BY rowid"
        rows = self._thread.submit(lambda: self._db.execute(query).fetchall()).result()
        return {key: json.loads(body) for key, body in rows}

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    def _put(self, table: str, row: tuple[str, str], drop: list[tuple[str]]) -> None:
        with self._db:
            self._db.executemany(f"DELETE FROM {_checked(table)} WHERE key = ?", drop)
            self._db.execute(
                f"INSERT INTO {_checked(table)} (key, body) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                row,
            )

    def _drop(self, table: str, keys: list[tuple[str]]) -> None:
        with self._db:
            self._db.executemany(f"DELETE FROM {_checked(table)} WHERE key = ?", keys)


def _checked(table: str) -> str:
    if table not in _TABLES:
        raise ValueError(table)
    return table
