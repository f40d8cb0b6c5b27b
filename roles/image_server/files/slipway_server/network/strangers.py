# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asked for what is a machine's from another address, so that the administrator can be told.

In memory and bounded: a stranger may fill neither the disk nor the journal with it.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass
from typing import Any

from ..base.times import iso
from .addresses import Verdict

log = logging.getLogger(__name__)

MOST = 2048
MOST_OF_ONE = 8


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the session, order or choice of a machine, or to become one."""

    # session, next_boot, choice, registration
    kind: str
    # Of the session or the order; else empty.
    id: str
    # Empty for a registration.
    machine: str


@dataclass
class Stranger:
    """One address that asked. Times are seconds since the epoch."""

    address: str
    why: str
    requests: int
    first: float
    last: float


class Strangers:
    """Newest last; the oldest give way."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._of: dict[Wanted, dict[str, Stranger]] = {}

    def note(self, wanted: Wanted, address: str | None, verdict: Verdict) -> None:
        """Remember a refusal; the journal has one line for each address, and few."""
        now = time.time()
        where = address or "an unknown address"
        seen = self._of.setdefault(wanted, {})
        found = seen.get(where)
        if found is not None:
            found.requests, found.last, found.why = found.requests + 1, now, verdict.why
            return
        if len(seen) >= MOST_OF_ONE:
            # Counted with the last: an attacker with a network full of addresses is one.
            last = next(reversed(seen.values()))
            last.requests, last.last = last.requests + 1, now
            return
        seen[where] = Stranger(where, verdict.why, 1, now, now)
        log.warning(
            "%s asked for the %s of %s and was refused: %s",
            where,
            wanted.kind.replace("_", " "),
            wanted.machine or "cards that are not its own",
            verdict.why,
        )
        while len(self._of) > MOST:
            del self._of[next(iter(self._of))]

    def of(self, kind: str, identifier: str, machine: str) -> list[dict[str, Any]]:
        """Who asked for one thing, as the administrator sees it."""
        return [
            _view(each) for each in self._of.get(Wanted(kind, identifier, machine), {}).values()
        ]

    def all(self) -> list[dict[str, Any]]:
        """Everybody."""
        return [
            dataclasses.asdict(wanted) | _view(each)
            for wanted, seen in self._of.items()
            for each in seen.values()
        ]


def _view(stranger: Stranger) -> dict[str, Any]:
    return dataclasses.asdict(stranger) | {
        "first": iso(stranger.first),
        "last": iso(stranger.last),
    }
