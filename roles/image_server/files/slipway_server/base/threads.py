# SPDX-License-Identifier: GPL-3.0-or-later
"""Where blocking work and work in the background go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class Run(Protocol):
    """Does blocking work elsewhere, as `Threads.run`."""

    def __call__(self, work: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
        """Return what the work returns."""


class Threads:
    """A pool for what blocks: disks, large texts."""

    def __init__(self, count: int) -> None:
        """At most ``count`` at once; the rest waits."""
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="work")

    async def run(self, work: Callable[..., _T], /, *arguments: Any) -> _T:
        """Do blocking work in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def stop(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown()


class Tasks:
    """What goes on in the event loop while nobody waits for it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin it; the running event loop does it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel all of it and wait until it has ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
