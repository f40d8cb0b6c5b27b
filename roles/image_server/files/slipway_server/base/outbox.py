# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be told to people, in order, and how far each of those who are told has got.

Each thing is told once: what was told of stands on disk in the same transaction as the event. The
process that sends fetches and says what it has sent; what it is down for waits here.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .rows import Rows
from .state_file import Change, StateFile
from .times import iso

# Events that are kept for those who are told.
KEPT = 1000
_AT_ONCE = 20


@dataclass(frozen=True)
class Event:
    """One thing to tell. ``quiet``: a sign of life that no person wants to read."""

    kind: str
    subject: str
    lines: tuple[str, ...] = ()
    quiet: bool = False


class Outbox:
    """Belongs to the event loop, but for `waiting`, which blocks."""

    def __init__(self, state: StateFile) -> None:
        """Load what was told."""
        self._state = state
        self._told = Rows(state, "told")
        self._sinks = Rows(state, "sinks")
        self._known = {kind: set(body["subjects"]) for kind, body in self._told.load().items()}
        self.sinks = self._sinks.load()
        [(last,)] = state.read("SELECT coalesce(max(number), 0) FROM outbox")
        self._last: int = last

    def known(self, kind: str) -> set[str] | None:
        """The subjects of a kind that were told; None: it was never looked at."""
        return self._known.get(kind)

    async def tell(self, kind: str, subjects: Iterable[str], events: Iterable[Event]) -> None:
        """Tell, and keep that these subjects are all that is now told of a kind."""
        told = set(subjects)
        rows = [(time.time(), json.dumps(dataclasses.asdict(each))) for each in events]
        changes: list[Change] = [
            self._told.change(kind, {"subjects": sorted(told)}),
            ("INSERT INTO outbox (at, body) VALUES (?, ?)", rows),
            ("DELETE FROM outbox WHERE number <= (SELECT max(number) FROM outbox) - ?", [(KEPT,)]),
        ]
        await self._state.write(*changes)
        # Not before: what a full disk did not take is told at the next look.
        self._known[kind] = told
        self._last += len(rows)

    async def admit(self, sinks: Iterable[str]) -> None:
        """Those who are told from now on; one that is new is told nothing old."""
        wanted = set(sinks)
        await self._sinks.drop(self.sinks.keys() - wanted)
        self.sinks = {name: body for name, body in self.sinks.items() if name in wanted}
        for name in sorted(wanted - self.sinks.keys()):
            await self._keep(name, {"number": self._last, "problem": None, "since": None})

    async def note(self, sink: str, number: int | None, problem: str | None) -> None:
        """Up to which event a sink was told, or why it can't be."""
        before = self.sinks[sink]
        since = None if problem is None else before["since"] or time.time()
        reached = before["number"] if number is None else max(number, before["number"])
        await self._keep(sink, {"number": reached, "problem": problem, "since": since})

    async def _keep(self, sink: str, body: dict[str, Any]) -> None:
        await self._sinks.put(sink, body)
        self.sinks[sink] = body

    def waiting(self, sink: str) -> list[dict[str, Any]]:
        """The next events of a sink, oldest first."""
        reached = int(self.sinks[sink]["number"])
        rows = self._state.read(
            f"SELECT number, at, body FROM outbox WHERE number > {reached} ORDER BY number"
            f" LIMIT {_AT_ONCE}"
        )
        return [{"number": number, "at": iso(at)} | json.loads(body) for number, at, body in rows]

    def behind(self) -> Mapping[str, int]:
        """How many events each sink still has to be told."""
        return {name: self._last - body["number"] for name, body in self.sinks.items()}

    def warnings(self) -> list[str]:
        """Who can't be told."""
        return [
            f"{name} of policy_tell was not reached since {iso(body['since'])}: {body['problem']}"
            for name, body in self.sinks.items()
            if body["problem"]
        ]
