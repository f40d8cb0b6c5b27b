# SPDX-License-Identifier: GPL-3.0-or-later
"""Records on disk: one SQLite file, written through a single thread, in order."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .sqlite_file import open_file

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE {table} (
    id TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    state TEXT NOT NULL,
    ended_at REAL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX {index} ON {table} (machine) WHERE state != 'ended';
"""


class Record(Protocol):
    """A frozen dataclass that a machine has at most one of that has not ended."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def machine(self) -> str:
        """Whose it is."""

    @property
    def state(self) -> str:
        """``ended`` or anything else."""

    @property
    def ended_at(self) -> float | None:
        """Seconds since the epoch."""


_R = TypeVar("_R", bound=Record)


class RecordDb(Generic[_R]):
    """Durable before the answer: every awaited save is on disk (synchronous=FULL)."""

    def __init__(self, path: Path, kind: type[_R], table: str, index: str) -> None:
        """Open or create the file; ``path``'s folder must exist."""
        if not all(re.fullmatch("[a-z_]+", name) for name in (table, index)):
            raise ValueError((table, index))
        self._kind, self._table = kind, table
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{table}-db")
        schema = _SCHEMA.format(table=table, index=index)
        self._db = self._thread.submit(open_file, path, schema, _SCHEMA_VERSION).result()

    async def save(self, *records: _R) -> None:
        """Store records as they are now, in one transaction."""
        if records:
            await asyncio.wrap_future(self._thread.submit(self._save, records))

    async def forget(self, ended_before: float) -> None:
        """Drop records that ended before that time."""
        await asyncio.wrap_future(self._thread.submit(self._forget, ended_before))

    async def delete(self, ids: Iterable[str]) -> None:
        """Drop these records."""
        await asyncio.wrap_future(self._thread.submit(self._delete, [(each,) for each in ids]))

    def load(self) -> list[_R]:
        """Every stored record, in the order in which they came."""
        return self._thread.submit(self._load).result()

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    def _save(self, records: tuple[_R, ...]) -> None:
        rows = [
            (item.id, item.machine, item.state, item.ended_at, json.dumps(_body(item)))
            for item in records
        ]
        with self._db:
            self._db.executemany(
                f"INSERT INTO {self._table} (id, machine, state, ended_at, body)"
                " VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
                " ended_at = excluded.ended_at, body = excluded.body",
                rows,
            )

    def _forget(self, ended_before: float) -> None:
        with self._db:
            self._db.execute(f"DELETE FROM {self._table} WHERE ended_at < ?", (ended_before,))

    def _delete(self, ids: list[tuple[str]]) -> None:
        with self._db:
            self._db.executemany(f"DELETE FROM {self._table} WHERE id = ?", ids)

    def _load(self) -> list[_R]:
        rows = self._db.execute(f"SELECT body FROM {self._table} ORDER BY rowid").fetchall()
        found = [self._from_body(json.loads(row[0])) for row in rows]
        # What ended in a time to come ended while a clock was ahead: kept until then, it would
        # outlive the machine.
        now = time.time()
        late = [item for item in found if item.ended_at is not None and item.ended_at > now]
        mended = {item.id: dataclasses.replace(item, ended_at=now) for item in late}
        self._save(tuple(mended.values()))
        return [mended.get(item.id, item) for item in found]

    def _from_body(self, body: dict[str, Any]) -> _R:
        known = {item.name for item in dataclasses.fields(self._kind)}
        body = {key: value for key, value in body.items() if key in known}
        return self._kind(**{**body, "macs": tuple(body["macs"])})


def _body(item: Record) -> dict[str, Any]:
    return dataclasses.asdict(item)
