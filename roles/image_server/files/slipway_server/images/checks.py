# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a version through: is every chunk there, and is each what its name says?"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .images import Images
from .memory import Memory, Read
from .reads import MISSING, Wanted, read_through
from .store import ChunkStore

log = logging.getLogger(__name__)

_BATCH = 32
_MAX_PROBLEMS = 100


@dataclass
class Check:
    """One read-through, under way or finished. Belongs to the event loop."""

    name: str
    version: str
    full: bool
    state: str = "running"
    bytes_done: int = 0
    bytes_total: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    problem_count: int = 0
    # Each chunk that is missing or bad, for what the image is known to lack.
    lacking: set[str] = field(default_factory=set)
    remembered: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, digest: str | None, problem: str) -> None:
        """Note a problem; the list is bounded, the count is not."""
        self.problem_count += 1
        if digest is not None:
            self.lacking.add(digest)
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append({"digest": digest, "problem": problem})

    def view(self) -> dict[str, Any]:
        """The check as the API shows it."""
        return {
            "state": self.state,
            "bytes_done": self.bytes_done,
            "bytes_total": self.bytes_total,
            "problems": list(self.problems),
            "problem_count": self.problem_count,
        }


@dataclass
class _Plan:
    """What a look at the directory says: what is missing, what is known, what to read."""

    total: int = 0
    remembered: int = 0
    missing: list[str] = field(default_factory=list)
    to_read: list[Wanted] = field(default_factory=list)


class Checker:
    """Runs checks; two of the same version at the same time share one read-through."""

    def __init__(
        self, store: ChunkStore, images: Images, memory: Memory, threads: int, memory_days: int
    ) -> None:
        """Read with that many threads; trust a sound read for that many days."""
        self._store = store
        self._images = images
        self._memory = memory
        self._trust_seconds = memory_days * 86400.0
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="check")
        # Told of chunks that are missing or bad.
        self.on_bad: Callable[[set[str]], None] = lambda _: None
        self._running: dict[tuple[str, str, bool], Check] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, version: str, *, full: bool) -> Check:
        """Begin a check, or join one. ``full``: believe no earlier read."""
        key = (name, version, full)
        if (running := self._running.get(key)) is not None:
            return running
        check = self._running[key] = Check(name, version, full)
        task = asyncio.get_running_loop().create_task(self._run(check))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return check

    def known(self, digests: Iterable[str]) -> list[Read]:
        """Of these chunks, the files that were proven lately; none is looked at here.

        Blocks. Whoever relies on one sees himself that it has not changed since.
        """
        now = time.time()
        found = (self._memory.sound(each, now - self._trust_seconds, now) for each in digests)
        return [each for each in found if each and not self._store.is_suspect(each.digest)]

    async def stop(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, check: Check) -> None:
        try:
            await self._read_through(check)
        except Exception as error:
            # Whatever kept the check from its end, the version is not known to be sound.
            log.warning("check of %s@%s failed", check.name, check.version, exc_info=True)
            check.add(None, f"the check of {check.name}@{check.version} failed: {error}")
        check.state = "broken" if check.problem_count else "sound"
        await self._note(check)
        del self._running[(check.name, check.version, check.full)]
        check.done.set()

    async def _note(self, check: Check) -> None:
        """What was found is known from now on: of this version, and of others with bad chunks."""
        loop = asyncio.get_running_loop()
        if not check.remembered and (check.state == "sound" or check.lacking):
            await loop.run_in_executor(
                self._pool,
                self._images.healths.note_checked,
                *(check.name, check.version, time.time(), check.lacking),
            )
        elif check.lacking:
            await loop.run_in_executor(
                self._pool, self._images.healths.note,
                *(check.name, check.version, list(check.lacking)),
            )  # fmt: skip
        if check.lacking:
            self.on_bad(check.lacking)

    async def _read_through(self, check: Check) -> None:
        loop = asyncio.get_running_loop()
        plan = await loop.run_in_executor(self._pool, self._plan, check)
        check.bytes_total = plan.total
        check.bytes_done = check.remembered = plan.remembered
        for digest in plan.missing:
            check.add(digest, MISSING)
        batches = _batches(plan.to_read)

        async def reader() -> None:
            for batch in batches:
                size, bad = await loop.run_in_executor(
                    self._pool, read_through, self._store, self._memory, batch
                )
                check.bytes_done += size
                for digest, problem in bad:
                    check.add(digest, problem)

        await asyncio.gather(*(reader() for _ in range(self._threads)))

    def _plan(self, check: Check) -> _Plan:
        """Stat every chunk; the order of reading is that of the inodes, which disks like."""
        plan = _Plan()
        now = time.time()
        since = now - self._trust_seconds
        for digest, content_size in self._images.manifest(check.name, check.version).chunks():
            found = self._store.fingerprint(digest)
            if found is None:
                plan.missing.append(digest)
                continue
            plan.total += found.size
            # What may have been lost since was read before in vain.
            anew = check.full or self._store.is_suspect(digest)
            known = None if anew else self._memory.recall(digest, found, since, now)
            if known == content_size:
                plan.remembered += found.size
            else:
                plan.to_read.append((digest, found, content_size))
        plan.to_read.sort(key=lambda entry: entry[1].ino)
        return plan


def _batches(items: list[Wanted]) -> Iterator[list[Wanted]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
