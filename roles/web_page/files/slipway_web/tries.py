# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong passwords: pauses that grow, by account and by address, kept in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

# A count sinks by one in that time.
_SINK_SECONDS = 600.0
_MOST = 20_000


@dataclass(frozen=True)
class Limit:
    """How many wrong tries cost nothing, and the longest pause after those, in seconds."""

    free: int
    longest: float


# Who guesses at an account from many addresses keeps its owner out for half a minute, not longer.
OF_ACCOUNT = Limit(5, 30.0)
# A school's whole staff may come from one address.
OF_ADDRESS = Limit(15, 300.0)


@dataclass
class _Count:
    wrong: float = 0.0
    at: float = 0.0


class Tries:
    """Counts of one kind."""

    def __init__(self, limit: Limit, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has tried anything."""
        self._limit = limit
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    def wait(self, who: str) -> float:
        """Seconds until the next try is taken; 0: now."""
        count = self._counts.get(who)
        if count is None:
            return 0.0
        now = self._clock()
        return max(0.0, count.at + self._pause(self._sunk(count, now)) - now)

    def wrong(self, who: str) -> None:
        """Count one; it is counted before the password is looked at, and taken back if right."""
        now = self._clock()
        count = self._counts.pop(who, None) or _Count(at=now)
        count.wrong, count.at = self._sunk(count, now) + 1, now
        # The last is who was counted last: of too many the oldest go.
        self._counts[who] = count
        while len(self._counts) > _MOST:
            del self._counts[next(iter(self._counts))]

    def right(self, who: str) -> None:
        """It was none."""
        if (count := self._counts.get(who)) is not None:
            count.wrong = max(0.0, count.wrong - 1)

    def forget(self, who: str) -> None:
        """All is well again."""
        self._counts.pop(who, None)

    def _sunk(self, count: _Count, now: float) -> float:
        return max(0.0, count.wrong - (now - count.at) / _SINK_SECONDS)

    def _pause(self, wrong: float) -> float:
        over = int(wrong) - self._limit.free
        return 0.0 if over < 0 else min(self._limit.longest, 2.0 ** min(over, 20))
