# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was told "I have this chunk" can rely on it: collection sees it by the file's access time.

A promise sets the access time to now, and leaves size, modification time and inode as they are, so
that what is known of the file's content stays known. Looking at the time and acting on it are one
step, for promises and for removals.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

_SECOND = 1_000_000_000
# No file system that Linux writes to is coarser.
_COARSEST = 2 * _SECOND
# What a clock that is merely corrected is never set back by.
_CORRECTION = 60 * _SECOND
_LONG_AGO = 400 * 86400 * _SECOND


class Promises:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        """No promise was given yet."""
        self._lock = threading.Lock()
        self._latest_ns = 0
        # Once a clock was set back, promises look older than they are: the lowest of them.
        self._lowest_ns: int | None = None
        self._note: Callable[[int | None], None] = lambda _: None

    def remember(
        self, latest: float, lowest_ns: int | None, note: Callable[[int | None], None]
    ) -> None:
        """Go on where an earlier process ended.

        ``latest``: a time (seconds since the epoch) that its clock has reached. ``note`` makes a
        lower one durable.
        """
        with self._lock:
            self._latest_ns, self._lowest_ns, self._note = int(latest * _SECOND), lowest_ns, note

    def begin_anew(self) -> None:
        """Nobody relies on a promise that was given before now."""
        with self._lock:
            self._latest_ns = time.time_ns()
            if self._lowest_ns is not None:
                self._note(None)
                self._lowest_ns = None

    def keep(self, path: Path) -> bool:
        """Promise a chunk. False: it is not there, or can't be promised."""
        with self._lock:
            now = time.time_ns()
            self._watch(now)
            try:
                os.utime(path, ns=(now, path.stat().st_mtime_ns))
            except OSError:
                return False
        return True

    def _watch(self, now: int) -> None:
        self._latest_ns = max(self._latest_ns, now)
        if now >= self._latest_ns - _CORRECTION:
            return
        if self._lowest_ns is None or now < self._lowest_ns - _CORRECTION:
            # Before the promise, not after it: if that ends the process, it is known.
            lowest = now - _CORRECTION
            self._note(lowest)
            self._lowest_ns = lowest

    def remove(self, path: Path, cutoff_ns: int) -> bool | None:
        """Remove a file that was neither written nor promised since. None: it is not there."""
        with self._lock:
            try:
                found = path.stat()
                lowest = self._lowest_ns
                limit = cutoff_ns if lowest is None else min(cutoff_ns, lowest)
                if max(found.st_atime_ns, found.st_mtime_ns) >= limit:
                    return False
                path.unlink()
            except FileNotFoundError:
                return None
        return True


def are_kept_in(folder: Path) -> bool:
    """Whether the file system of a folder keeps access times that it is told."""
    path = folder / secrets.token_hex(16)
    path.touch(mode=0o640)
    try:
        for wanted in (time.time_ns() - _LONG_AGO, time.time_ns()):
            mtime = path.stat().st_mtime_ns
            os.utime(path, ns=(wanted, mtime))
            found = path.stat()
            if abs(found.st_atime_ns - wanted) >= _COARSEST or found.st_mtime_ns != mtime:
                return False
    finally:
        path.unlink()
    return True
