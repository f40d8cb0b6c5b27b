# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file of everything that is to outlast the service, and how older ones become it.

Whoever writes does so through one thread, in order; each `write` is one transaction, on disk before
its caller goes on (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import migrations

NAME = "state.sqlite3"
# A statement with the rows that it is for.
Change = tuple[str, Sequence[Sequence[Any]]]


class StateError(Exception):
    """The state can't be used; the text says why and what to do."""


class StateFile:
    """Its tables are those that the newest migration left."""

    def __init__(self, folder: Path) -> None:
        """Open or create the file in ``folder``, and bring older state into today's form.

        StateError when a newer version of the service made it, or when it is damaged: then nothing
        has been changed.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        try:
            self._db = self._thread.submit(_open, folder).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def write(self, *changes: Change) -> None:
        """Make changes, all of them or none."""
        await asyncio.wrap_future(self._thread.submit(self._write, changes))

    def write_now(self, *changes: Change) -> None:
        """The same for who is not in the event loop."""
        self._thread.submit(self._write, changes).result()

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._thread.submit(lambda: self._db.execute(query).fetchall()).result()

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    def _write(self, changes: Iterable[Change]) -> None:
        with self._db:
            for statement, rows in changes:
                self._db.executemany(statement, rows)


def _open(folder: Path) -> sqlite3.Connection:
    path = folder / NAME
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db, path)
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            # The disk is full or fails: that passes.
            raise
        raise StateError(
            f"the state in {path} can't be read ({error}): put a copy of it back, or move it away "
            "to begin with no sessions, jobs and registrations; images are not touched"
        ) from error
    except BaseException:
        db.close()
        raise
    migrations.tidy(folder)
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    known = len(migrations.MIGRATIONS)
    if found > known:
        raise StateError(
            f"the state in {path} is of a newer Slipway (form {found}, this one knows {known}): "
            "run site.yml of that version again; nothing was changed"
        )
    if found == known:
        return
    # All steps at once: whatever happens, it is old or new, and nothing in between.
    with _transaction(db):
        for migrate in migrations.MIGRATIONS[found:]:
            migrate(db, path.parent)
        db.execute(f"PRAGMA user_version = {known}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, statements that change tables included."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
