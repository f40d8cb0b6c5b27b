# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and disks that people take out of versions: ordered, made beside the service, fetched.

What was made lies on the server until it is removed or a day has passed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from ..base.errors import ServiceError
from ..base.rows import Rows
from ..base.times import iso
from .reader import Reader, Words

log = logging.getLogger(__name__)
MOST = 30
_AT_ONCE = 2
_KEEP_SECONDS = 86400.0
_TIDY_SECONDS = 30.0
_KEY = "download/"
_OPEN = ("waiting", "running")


@dataclass
class Download:
    """One file or disk. ``asked``: partition and path, or disk, format and whether it may lack."""

    id: str
    kind: str
    image: str
    version: str
    asked: dict[str, Any]
    by: str
    created: float
    # waiting, running, ready, failed, cut off
    state: str = "waiting"
    # Bytes; a total of 0 is not known.
    done: int = 0
    total: int = 0
    # Below the folder of its id, and what a browser calls it.
    file: str = ""
    called: str = ""
    size: int = 0
    message: str = ""
    remedy: str = ""
    ended: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False, compare=False)

    def body(self) -> dict[str, Any]:
        """What is kept of it."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "task"}

    def view(self) -> dict[str, Any]:
        """It, as the API shows it."""
        ready = self.state == "ready" and self.ended is not None
        return self.body() | {
            "created": iso(self.created),
            "ended": None if self.ended is None else iso(self.ended),
            "goes": iso((self.ended or 0.0) + _KEEP_SECONDS) if ready else None,
        }


class Downloads:
    """Belongs to the event loop."""

    def __init__(self, reader: Reader, rows: Rows, clock: Callable[[], float] = time.time) -> None:
        """Load what was made; what was at work when the process ended was cut off."""
        self._reader = reader
        self._rows = rows
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Nothing is made before what an earlier process has left is removed.
        self._tidy = asyncio.Event()
        self._known: dict[str, Download] = {}
        for key, body in rows.load().items():
            if key.startswith(_KEY):
                found = Download(**body)
                if found.state in _OPEN:
                    found.state, found.ended = "cut off", clock()
                    found.message = "The control service was ended meanwhile."
                    found.remedy = "Order it once more."
                self._known[found.id] = found

    async def take_up(self) -> None:
        """Have removed what is old, and what belongs to none: an earlier process had begun it."""
        await self.sweep()
        ready = [each.id for each in self._known.values() if each.state == "ready"]
        try:
            async with asyncio.timeout(_TIDY_SECONDS):
                await self._reader.ask("keep", ids=ready)
        except (ServiceError, TimeoutError) as error:
            # It is done with the next start; nobody reaches what is there.
            log.info("no downloads were tidied: %s", error)
        finally:
            self._tidy.set()

    def all(self) -> list[Download]:
        """The newest first."""
        return sorted(self._known.values(), key=lambda each: -each.created)

    def get(self, identifier: str) -> Download:
        """That one; ServiceError if it is not there any more."""
        if (found := self._known.get(identifier)) is None:
            raise ServiceError("no_such_download", "There is no such download.")
        return found

    def ready(self, identifier: str) -> Download:
        """That one, which can be fetched."""
        found = self.get(identifier)
        if found.state != "ready":
            raise ServiceError("not_ready", f"{found.called or 'It'} is not ready: {found.state}.")
        return found

    async def order(
        self, kind: str, image: str, version: str, asked: dict[str, Any], by: str
    ) -> Download:
        """Begin to make a file of what is asked for, or wait for a turn."""
        if len(self._known) >= MOST:
            raise ServiceError("too_many_downloads", f"{MOST} downloads are there or being made.")
        made = Download(secrets.token_hex(8), kind, image, version, asked, by, self._clock())
        self._known[made.id] = made
        try:
            await self._keep(made)
        except sqlite3.Error:
            # What is not kept is not made.
            del self._known[made.id]
            raise
        made.task = asyncio.get_running_loop().create_task(self._make(made))
        return made

    async def drop(self, identifier: str) -> Download:
        """Forget one and have its file removed; one that is at work ends."""
        found = self.get(identifier)
        await self._forget([found])
        return found

    async def sweep(self) -> None:
        """Forget what is older than a day."""
        before = self._clock() - _KEEP_SECONDS
        old = [each for each in self._known.values() if (each.ended or before) < before]
        if old:
            await self._forget(old)

    async def stop(self) -> None:
        """Hang up on what is being made."""
        await _end(self._known.values())

    async def _forget(self, gone: list[Download]) -> None:
        for each in gone:
            del self._known[each.id]
        await self._rows.drop([f"{_KEY}{each.id}" for each in gone])
        await _end(gone)
        try:
            await self._reader.ask("drop", ids=[each.id for each in gone])
        except ServiceError as error:
            # Nobody reaches them any more; the next start has them removed.
            log.warning("the files of %d downloads stay for now: %s", len(gone), error)

    async def _make(self, made: Download) -> None:
        def told(said: Words) -> None:
            made.total = said.get("total", made.total)
            made.done = said.get("written", made.done)

        await self._tidy.wait()
        async with self._turns:
            made.state = "running"
            verb = "fetch" if made.kind == "file" else "export"
            reference = f"{made.image}@{made.version}"
            try:
                found = await self._reader.ask(
                    verb, told, id=made.id, image=reference, **made.asked
                )
                made.state, made.file = "ready", found["file"]
                made.called, made.size = found["called"], found["size"]
            except ServiceError as error:
                made.state, made.message, made.remedy = "failed", error.message, error.remedy
            made.ended = self._clock()
            if made.id in self._known:
                await self._note(made)

    async def _note(self, made: Download) -> None:
        try:
            await self._keep(made)
        except sqlite3.Error as error:
            # The next process takes it for cut off; this one knows better.
            log.warning("not kept of download %s: %s", made.id, error)

    async def _keep(self, made: Download) -> None:
        await self._rows.put(f"{_KEY}{made.id}", made.body())


async def _end(downloads: Iterable[Download]) -> None:
    tasks = [each.task for each in downloads if each.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
