# SPDX-License-Identifier: GPL-3.0-or-later
"""What people have asked for, a line each, that nobody changes through the service.

The table refuses changes by itself, and so does it the removal of all but the oldest lines.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from typing import Any

from .state_file import StateFile
from .times import iso

log = logging.getLogger(__name__)

# Lines that are kept; a line has a few hundred bytes. `migrations` says the same to the table.
KEPT = 100_000


@dataclass(frozen=True)
class Line:
    """One action. ``at`` is in seconds since the epoch."""

    at: float
    # The account, and what it is here: administrator, or the user at a machine.
    who: str
    role: str
    # The socket, or the address.
    where: str
    verb: str
    subject: str
    # `done`, or the type of the refusal.
    outcome: str
    before: str | None = None
    after: str | None = None


class Audit:
    """Lines come from `add` alone."""

    def __init__(self, state: StateFile) -> None:
        """Of the state's file."""
        self._state = state

    async def add(self, line: Line) -> None:
        """Keep a line; it is on disk when this returns, and in the journal."""
        body = dataclasses.asdict(line)
        del body["at"]
        log.info("%s", json.dumps({"at": iso(line.at)} | body))
        await self._state.write(
            ("INSERT INTO audit (at, body) VALUES (?, ?)", [(line.at, json.dumps(body))]),
            (
                "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?",
                [(KEPT,)],
            ),
        )

    def read(self, most: int, before: int | None) -> list[dict[str, Any]]:
        """The newest lines, oldest of them first, with their numbers; older than ``before``."""
        older = "" if before is None else f"WHERE number < {int(before)}"
        rows = self._state.read(
            f"SELECT number, at, body FROM audit {older} ORDER BY number DESC LIMIT {int(most)}"
        )
        return [
            {"number": number, "at": iso(at)} | json.loads(body)
            for number, at, body in reversed(rows)
        ]
