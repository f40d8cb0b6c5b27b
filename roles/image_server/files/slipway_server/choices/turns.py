# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause that many share, in which nobody waits for ever.

Whoever has to wait gets a turn of his own, and waiters come in the order in which they asked: who
asks a thousand times has one turn like everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# A count sinks by one in that time: what was long ago weighs nothing.
_SINK_SECONDS = 600.0
# How long a turn is kept for who does not take it: a password has to be typed again.
_KEPT_SECONDS = 300.0
_FORGET_SECONDS = 86400.0
_MOST_WAITERS = 10_000


@dataclass(frozen=True)
class Limit:
    """How many tries cost nothing, and the longest pause after those, in seconds."""

    free: int
    longest: float


@dataclass
class Turns:
    """Of one thing that many may try. All times are of the caller's clock, in seconds."""

    limit: Limit
    _count: float = 0.0
    _counted_at: float = 0.0
    # When nobody has a turn any more.
    _free_at: float = 0.0
    _turns: dict[str, float] = field(default_factory=dict)

    def wait(self, who: str, now: float) -> float:
        """Seconds until it is his turn; he keeps that turn. 0: now."""
        if self._pause(now) == 0:
            return 0.0
        turn = self._turns.get(who)
        if turn is None or now > turn + _KEPT_SECONDS:
            self._drop_missed(now)
            if len(self._turns) >= _MOST_WAITERS:
                return self.limit.longest
            turn = max(self._free_at, now)
            self._turns[who] = turn
            self._free_at = turn + self._pause(now)
        return max(0.0, turn - now)

    def take(self, who: str, now: float) -> None:
        """Count a try of somebody whose turn it is."""
        self._turns.pop(who, None)
        self._sink(now)
        self._count += 1
        self._free_at = max(self._free_at, now + self._pause(now))

    def give_back(self) -> None:
        """It was no wrong try."""
        self._count = max(0.0, self._count - 1)

    def is_old(self, now: float) -> bool:
        """Whether nothing is left of it."""
        return self._counted_at < now - _FORGET_SECONDS

    def _pause(self, now: float) -> float:
        self._sink(now)
        # Those who wait are about to try.
        over = int(self._count) + len(self._turns) - self.limit.free
        return 0.0 if over < 0 else min(self.limit.longest, 2.0 ** min(over, 20))

    def _sink(self, now: float) -> None:
        self._count = max(0.0, self._count - (now - self._counted_at) / _SINK_SECONDS)
        self._counted_at = now

    def _drop_missed(self, now: float) -> None:
        missed = [who for who, turn in self._turns.items() if now > turn + _KEPT_SECONDS]
        for who in missed:
            del self._turns[who]
