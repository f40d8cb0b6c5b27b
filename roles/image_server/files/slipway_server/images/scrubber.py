# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the whole store again and again, the chunks first that were read the longest ago."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from slipway.format.errors import FormatError

from ..base.errors import ServiceError
from .images import Images
from .memory import Memory
from .reads import read_through
from .store import ChunkStore

log = logging.getLogger(__name__)

_BATCH = 32
# Reading takes a quarter of the time, whatever the disks can do.
_RESTS = 3.0
_LOOK_SECONDS = 0.5
_MOST_SHOWN = 100


@dataclass
class Outcome:
    """What a run read. Bytes are those of chunk files."""

    seconds: float = 0.0
    read: int = 0
    read_bytes: int = 0
    bad: list[dict[str, str]] = field(default_factory=list)
    bad_count: int = 0
    # The versions that name a bad chunk.
    broken: list[str] = field(default_factory=list)


class Scrubber:
    """One run at a time; the caller sees to that. Its methods block."""

    def __init__(self, store: ChunkStore, images: Images, memory: Memory) -> None:
        """Read what the memory says that it was not read lately."""
        self._store = store
        self._images = images
        self._memory = memory
        self._stop = threading.Event()

    def stop(self) -> None:
        """End the run that is under way, and each that begins."""
        self._stop.set()

    def share(self, hours: float, check_days: int) -> int:
        """How many chunks to read in so many hours: then each is read within the days."""
        return math.ceil(2 * self._memory.count() * hours / (check_days * 24))

    def is_due(self, before: float) -> bool:
        """Whether there is anything that was not read since."""
        return bool(self._memory.oldest_reads(before, 1))

    def bad(self) -> list[str]:
        """The chunks that were found bad and were not healed."""
        return list(self._memory.bad())

    def scrub(
        self, before: float, most: int | None, rests: bool, is_busy: Callable[[], bool]
    ) -> dict[str, Any]:
        """Read chunks that were last read before that time, at most so many, not while busy."""
        began, outcome, lost = time.monotonic(), Outcome(), set[str]()
        if most is None:
            self._meet_all()
        while not self._stop.is_set():
            left = _BATCH if most is None else min(_BATCH, most - outcome.read)
            batch = self._memory.oldest_reads(before, left) if left > 0 else []
            if not batch:
                break
            self._read(batch, outcome, lost, rests, is_busy)
        if lost:
            outcome.broken = self.mark(lost)
            log.error("%d chunks are bad; broken: %s", len(lost), ", ".join(outcome.broken))
        outcome.seconds = round(time.monotonic() - began, 3)
        return asdict(outcome)

    def _meet_all(self) -> None:
        """Know of every chunk, those sent since the last collection too."""
        for folder in self._store.folders():
            self._memory.met(digest for digest, _ in self._store.chunks_in(folder))

    def _read(
        self,
        batch: list[str],
        outcome: Outcome,
        lost: set[str],
        rests: bool,
        is_busy: Callable[[], bool],
    ) -> None:
        while is_busy() and not self._stop.wait(_LOOK_SECONDS):
            pass
        began = time.monotonic()
        there = [(digest, self._store.fingerprint(digest)) for digest in batch]
        # What is gone was removed, or a version lacks it: collection sees that.
        self._memory.forget(digest for digest, found in there if found is None)
        wanted = [(digest, found, None) for digest, found in there if found is not None]
        size, bad = read_through(self._store, self._memory, wanted)
        outcome.read += len(batch)
        outcome.read_bytes += size
        for digest, problem in bad:
            lost.add(digest)
            outcome.bad_count += 1
            if len(outcome.bad) < _MOST_SHOWN:
                outcome.bad.append({"digest": digest, "problem": problem})
        if rests:
            self._stop.wait((time.monotonic() - began) * _RESTS)

    def mark(self, lost: Iterable[str]) -> list[str]:
        """Mark every version that names one of these chunks; return those."""
        lost, broken = frozenset(lost), []
        for name in self._images.names():
            for version in self._images.versions(name):
                try:
                    manifest = self._images.manifest(name, version)
                except (FormatError, ServiceError, MemoryError):
                    continue
                if not lost.isdisjoint(manifest.digests()):
                    self._images.healths.survey(name, version, manifest)
                    broken.append(f"{name}@{version}")
        return broken
