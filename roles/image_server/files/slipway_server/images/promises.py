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
    """Safe to use from several threads.

    Whoever was promised something since his backup began is safe while collection spares all that
    is newer than the beginning. A clock that is set back breaks that: promises look older than they
    are. So that is watched for, and the lowest such time is spared, too, until every backup that
    was open then has ended.
    """

    def __init__(self) -> None:
        """No promise was given yet."""
        self._lock = threading.Lock()
        self._latest_ns = 0
        self._lowest_ns: int | None = None
        self._note: Callable[[int | None], None] = lambda _: None
        # How often the clock was set back.
        self._set_back = 0

    def remember(self, lowest_ns: int | None, note: Callable[[int | None], None]) -> None:
        """Go on where an earlier process ended; ``note`` makes a lower time durable."""
        with self._lock:
            self._lowest_ns, self._note = lowest_ns, note

    def begins(self, at: float) -> None:
        """A backup begins, in seconds since the epoch: its promises are no older."""
        with self._lock:
            self._latest_ns = max(self._latest_ns, int(at * _SECOND))

    @property
    def set_back(self) -> int:
        """How often the clock was set back, as far as anybody noticed."""
        return self._set_back

    def begin_anew(self, set_back: int) -> None:
        """Nobody relies on what was promised when the clock had been set back so often."""
        with self._lock:
            if self._lowest_ns is not None and self._set_back == set_back:
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
        if now >= self._latest_ns - _CORRECTION:
            self._latest_ns = max(self._latest_ns, now)
            return
        lowest = now - _CORRECTION
        if self._lowest_ns is None or lowest < self._lowest_ns:
            # Before the promise, not after it: if that ends the process, it is known.
            self._note(lowest)
            self._lowest_ns = lowest
        self._set_back += 1
        self._latest_ns = now

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
