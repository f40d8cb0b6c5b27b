# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows on disk: a body for each key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from .state_file import Change, StateFile


class Rows:
    """Durable before the answer: every awaited change is on disk."""

    def __init__(self, state: StateFile, table: str) -> None:
        """``table`` is one of the state's."""
        if not re.fullmatch("[a-z_]+", table):
            raise ValueError(table)
        self._state, self._table = state, table

    async def put(self, key: str, body: dict[str, Any], drop: Iterable[str] = ()) -> None:
        """Keep a row and drop others, in one transaction."""
        gone = f"DELETE FROM {self._table} WHERE key = ?"
        await self._state.write((gone, [(each,) for each in drop]), self.change(key, body))

    def change(self, key: str, body: dict[str, Any]) -> Change:
        """What keeping a row is, for a transaction with others."""
        statement = (
            f"INSERT INTO {self._table} (key, body) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET body = excluded.body"
        )
        return statement, [(key, json.dumps(body))]

    async def drop(self, keys: Iterable[str]) -> None:
        """Forget rows."""
        statement = f"DELETE FROM {self._table} WHERE key = ?"
        await self._state.write((statement, [(key,) for key in keys]))

    def load(self) -> dict[str, dict[str, Any]]:
        """Every row by its key, in the order in which they came."""
        rows = self._state.read(f"SELECT key, body FROM {self._table} ORDER BY rowid")
        return {key: json.loads(body) for key, body in rows}
