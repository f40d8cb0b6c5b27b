# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done again and again: a list of work, gone through in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


def _always() -> bool:
    return True


@dataclass
class _Item:
    work: Callable[[], Awaitable[object]]
    every: float
    when: Callable[[], bool]
    last: float


class Rounds:
    """Belongs to the event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A round begins so long after the one before has ended."""
        self._seconds = seconds
        self._clock = clock
        self._items: list[_Item] = []

    def add(
        self,
        work: Callable[[], Awaitable[object]],
        every: float = 0.0,
        when: Callable[[], bool] = _always,
    ) -> None:
        """Do ``work`` in each round, but only ``when`` and only ``every`` so many seconds."""
        self._items.append(_Item(work, every, when, self._clock()))

    async def go(self, *, all_due: bool = False) -> None:
        """One round; what fails ends it."""
        for item in self._items:
            now = self._clock()
            if item.every and not all_due and now - item.last <= item.every:
                continue
            if item.when():
                item.last = now
                await item.work()

    async def keep_going(self) -> None:
        """Round after round, until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.go()
            except Exception:
                # A full or failing disk must not end the watch; the next round tries again.
                log.exception("sweep failed")
