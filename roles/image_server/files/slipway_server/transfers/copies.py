# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of another site that come into this store, under the names that they have there.

Whoever brings them says again and again which version a chunk is of. So long as that goes on, what
was promised for it is kept, as for an open backup.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..base.errors import ServiceError
from ..images.images import Images
from ..images.store import ChunkStore

# A version of which nothing was heard for so long is given up; what came of it is no less here.
_SILENT_SECONDS = 900.0
_Ref = tuple[str, str]


class Copies:
    """Belongs to the event loop, but for methods that block and say so."""

    def __init__(
        self,
        store: ChunkStore,
        images: Images,
        begins: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``begins`` is told when one begins, in seconds since the epoch."""
        self._store = store
        self._images = images
        self._begins = begins
        self._clock = clock
        self._open: dict[_Ref, tuple[float, float]] = {}

    def hear(self, name: str, version: str) -> None:
        """Something of a version comes."""
        now, wall = self._clock(), time.time()
        self._open = {ref: times for ref, times in self._open.items() if self._is_open(times, now)}
        if (known := self._open.get((name, version))) is None:
            self._begins(wall)
        else:
            wall = known[0]
        self._open[name, version] = (wall, now)

    def over(self, name: str, version: str) -> None:
        """It is all here."""
        self._open.pop((name, version), None)

    def begins(self) -> dict[str, float]:
        """Since when each that is under way comes, in seconds since the epoch.

        Threads may ask, too: what they look through is a copy.
        """
        now = self._clock()
        return {
            f"copy of {name}@{version}": times[0]
            for (name, version), times in list(self._open.items())
            if self._is_open(times, now)
        }

    def _is_open(self, times: tuple[float, float], now: float) -> bool:
        return times[1] >= now - _SILENT_SECONDS

    def versions(self, name: str) -> list[str]:
        """Versions that need not come: those that are here, and those that were deleted. Blocks."""
        return sorted(self._images.taken(name))

    def refuse_taken(self, name: str, version: str) -> None:
        """Refuse what would hide an alias, or bring back what was deleted. Blocks."""
        self._images.refuse_alias(name)
        if version in self._images.trash.versions(name):
            raise ServiceError("name_taken", f"{name}@{version} was deleted here.")

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Those that have to be sent; the others are promised. Blocks."""
        return self._store.missing(digests)

    def put(self, digest: str, frame: bytes) -> bool:
        """Keep a chunk. False: it was here before. Blocks."""
        return self._store.put(digest, frame)
