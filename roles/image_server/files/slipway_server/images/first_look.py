# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the manifests of which nothing is remembered, beside whatever else goes on.

After the loss of the memory file that takes as long as thousands of manifests take. Who only wants
to see what there is gets what is read so far, and how far that is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..base import garbage
from ..base.threads import Run
from .images import Images
from .memory import Memory

log = logging.getLogger(__name__)
# A start waits so long for it: few manifests are read before anybody asks.
_PATIENCE_SECONDS = 1.0


class FirstLook:
    """Made once, inside the running event loop."""

    def __init__(self, images: Images, memory: Memory, run: Run) -> None:
        """Nothing is read, and nothing is known to be unread."""
        self._images = images
        self._memory = memory
        self._run = run
        # How many versions of each image are still to be read.
        self._unread: dict[str, int] = {}
        self._total = 0

    def unread(self) -> frozenset[str]:
        """Images that a list would have to wait for."""
        return frozenset(self._unread.copy())

    def progress(self) -> dict[str, int] | None:
        """How many versions are read, and of how many; None: all are."""
        left = sum(self._unread.copy().values())
        return {"done": self._total - left, "total": self._total} if left else None

    async def begin(self, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """Begin to read; return when that is done, or will take a while."""
        self._unread, self._total = await self._run(self._count)
        if not self._unread:
            return
        ended = asyncio.Event()
        spawn(self._read(ended))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await ended.wait()

    def _count(self) -> tuple[dict[str, int], int]:
        known, unread, total = self._memory.summarized(), dict[str, int](), 0
        for name in self._images.folders():
            versions = self._images.versions(name)
            total += len(versions)
            if new := len(set(versions) - known.get(name, set())):
                unread[name] = new
        return unread, total

    async def _read(self, ended: asyncio.Event) -> None:
        for name in sorted(self._unread):
            try:
                await self._run(self._images.summaries, name)
            except OSError as error:
                # A list that wants it says so once more.
                log.warning("the manifests of %s can't be read: %s", name, error)
            finally:
                del self._unread[name]
        await garbage.search_all()
        ended.set()
