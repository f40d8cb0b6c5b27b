# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that somebody ordered: how each goes, and what the last of each version has found."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ..base.errors import ServiceError
from ..base.rows import Rows
from ..base.times import iso
from .checks import Check, Checker

log = logging.getLogger(__name__)

# A check reads with all threads that there are for it; many at once would only wait.
MOST = 16
_KEEP = 500
_KEY = "check/"
_CUT_OFF = "cut off"


@dataclass
class Ordered:
    """A check under way. ``noted`` is set once its outcome is on disk."""

    check: Check
    by: str
    began: float
    noted: asyncio.Event = field(default_factory=asyncio.Event)

    def view(self) -> dict[str, Any]:
        """The check as the API shows it, and as it is kept."""
        ended = None if self.check.state == "running" else iso(time.time())
        return self.check.view() | {"by": self.by, "began": iso(self.began), "ended": ended}


class OrderedChecks:
    """Belongs to the event loop. What is begun and ended is kept before anybody is told."""

    def __init__(
        self, checker: Checker, rows: Rows, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """Load what was found; what was under way when the process ended was cut off."""
        self._checker = checker
        self._rows = rows
        self._spawn = spawn
        self._under_way: dict[str, Ordered] = {}
        self._known = {key: body for key, body in rows.load().items() if key.startswith(_KEY)}
        for body in self._known.values():
            if body["state"] == "running":
                body["state"] = _CUT_OFF

    async def begin(self, name: str, version: str, by: str) -> Ordered:
        """Read every chunk of a version, whatever was read before; or join who does."""
        key = f"{_KEY}{name}@{version}"
        if (found := self._under_way.get(key)) is not None:
            return found
        if len(self._under_way) >= MOST:
            raise ServiceError("already_runs", f"{MOST} checks are under way.")
        check = self._checker.start(name, version, full=True)
        made = self._under_way[key] = Ordered(check, by, time.time())
        self._spawn(self._follow(key, made))
        await self._keep(key, made.view())
        return made

    def of(self, name: str, version: str) -> dict[str, Any] | None:
        """How the check of a version goes, or what the last one found; None: none was ordered."""
        key = f"{_KEY}{name}@{version}"
        running = self._under_way.get(key)
        return self._known.get(key) if running is None else running.view()

    async def _follow(self, key: str, made: Ordered) -> None:
        await made.check.done.wait()
        await self._keep(key, made.view())
        del self._under_way[key]
        made.noted.set()

    async def _keep(self, key: str, body: dict[str, Any]) -> None:
        self._known.pop(key, None)
        self._known[key] = body
        old = list(self._known)[:-_KEEP]
        for each in old:
            del self._known[each]
        try:
            await self._rows.put(key, body, drop=old)
        except sqlite3.Error as error:
            # A full disk takes no note; until the process ends it is known all the same.
            log.warning("not kept of %s: %s", key, error)
