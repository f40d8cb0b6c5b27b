# SPDX-License-Identifier: GPL-3.0-or-later
"""Records on disk: what a machine has at most one of that has not ended."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .state_file import Change, StateFile


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


def ended(records: Iterable[_R], before: float) -> list[_R]:
    """Those that ended before that time, in seconds since the epoch."""
    return [item for item in records if item.ended_at is not None and item.ended_at < before]


class Records(Generic[_R]):
    """Durable before the answer: every awaited save is on disk."""

    def __init__(self, state: StateFile, kind: type[_R], table: str) -> None:
        """``table`` is one of the state's."""
        if not re.fullmatch("[a-z_]+", table):
            raise ValueError(table)
        self._state, self._kind, self._table = state, kind, table

    async def save(self, *records: _R, also: Sequence[Change] = ()) -> None:
        """Store records as they are now, and what belongs to them, in one transaction."""
        if records:
            await self._state.write(self.change(*records), *also)

    def change(self, *records: _R) -> Change:
        """What storing these records is, for a transaction with others."""
        rows = [
            (item.id, item.machine, item.state, item.ended_at, json.dumps(_body(item)))
            for item in records
        ]
        statement = (
            f"INSERT INTO {self._table} (id, machine, state, ended_at, body)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
            " ended_at = excluded.ended_at, body = excluded.body"
        )
        return statement, rows

    async def delete(self, records: Sequence[_R]) -> None:
        """Drop these records."""
        if records:
            statement = f"DELETE FROM {self._table} WHERE id = ?"
            await self._state.write((statement, [(item.id,) for item in records]))

    def load(self) -> list[_R]:
        """Every stored record, in the order in which they came."""
        rows = self._state.read(f"SELECT body FROM {self._table} ORDER BY rowid")
        found = [self._from_body(json.loads(row[0])) for row in rows]
        # What ended in a time to come ended while a clock was ahead: kept until then, it would
        # outlive the machine.
        now = time.time()
        late = [item for item in found if item.ended_at is not None and item.ended_at > now]
        mended = {item.id: dataclasses.replace(item, ended_at=now) for item in late}
        if mended:
            self._state.write_now(self.change(*mended.values()))
        return [mended.get(item.id, item) for item in found]

    def _from_body(self, body: dict[str, Any]) -> _R:
        known = {item.name for item in dataclasses.fields(self._kind)}
        body = {key: value for key, value in body.items() if key in known}
        return self._kind(**{**body, "macs": tuple(body["macs"])})


def _body(item: Record) -> dict[str, Any]:
    return dataclasses.asdict(item)
