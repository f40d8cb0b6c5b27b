# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images have changed: who keeps what he has made of them asks before he shows it."""

from __future__ import annotations

import threading


class Touched:
    """Names of images, since they were last taken. Safe to use from several threads."""

    def __init__(self) -> None:
        """Nothing has changed."""
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Something of an image has become other than it was: called when it is done."""
        with self._lock:
            self._names.add(name)

    def take(self) -> set[str]:
        """All of them; from now on none has changed."""
        with self._lock:
            found, self._names = self._names, set()
        return found
