# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may send a chunk now: room for so many at once, shared fairly among sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..base.bodies import Body

_LOOK_SECONDS = 1.0
# What holds a place that another session has a right to is cut when it is slower than this, or
# takes longer than that. Its sender tries again, and then waits without holding anything.
_SLOW_AFTER_SECONDS = 2.0
_SLOW_BYTES_PER_SECOND = 32 << 10
_LONGEST_SECONDS = 10.0


class UploadSlots:
    """A number of places, each for one body. A session alone may have them all."""

    def __init__(self, total: int) -> None:
        """Made inside the running event loop."""
        self._total = total
        self._held: dict[str, list[Body]] = {}
        self._waiting: list[tuple[str, Body, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def take(self, session: str, body: Body) -> AsyncIterator[None]:
        """A place for ``body``, as soon as there is one."""
        await self._enter(session, body)
        try:
            yield
        finally:
            self._leave(session, body)

    async def _enter(self, session: str, body: Body) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (session, body, turn)
        self._waiting.append(entry)
        self._admit()
        try:
            while not turn.done():
                await asyncio.wait([turn], timeout=_LOOK_SECONDS)
                if not turn.done():
                    self._cut_slow(session)
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif turn.done():
                self._leave(session, body)
            raise

    def _leave(self, session: str, body: Body) -> None:
        held = self._held[session]
        held.remove(body)
        if not held:
            del self._held[session]
        self._admit()

    def _admit(self) -> None:
        """Give free places to whose session has the fewest, among those to who came first."""
        while self._waiting and sum(map(len, self._held.values())) < self._total:
            entry = min(self._waiting, key=lambda each: len(self._held.get(each[0], ())))
            self._waiting.remove(entry)
            session, body, turn = entry
            body.began = asyncio.get_running_loop().time()
            self._held.setdefault(session, []).append(body)
            turn.set_result(None)

    def _cut_slow(self, session: str) -> None:
        """Make room for a session that has less than its share."""
        sessions = self._held.keys() | {each[0] for each in self._waiting}
        share = max(1, self._total // len(sessions))
        if len(self._held.get(session, ())) >= share:
            return
        now = asyncio.get_running_loop().time()
        slow = [
            body
            for held in self._held.values()
            if len(held) > share
            for body in held
            if not body.is_cut and _is_slow(body, now)
        ]
        if slow:
            min(slow, key=lambda body: body.rate(now)).cut()


def _is_slow(body: Body, now: float) -> bool:
    taken = now - body.began
    crawls = taken > _SLOW_AFTER_SECONDS and body.rate(now) < _SLOW_BYTES_PER_SECOND
    return crawls or taken > _LONGEST_SECONDS
