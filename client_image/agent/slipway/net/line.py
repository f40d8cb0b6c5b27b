# SPDX-License-Identifier: GPL-3.0-or-later
"""The line to the server, shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

_FAST, _SLOW = 0.25, 0.5
_MOST = 64


class Line:
    """How many bulky transfers are under way at a time.

    What is under way when a line breaks is lost. So there are few where each takes long, since
    they only wait for one another, and many where they are short, since there the time goes into
    waiting for answers.
    """

    def __init__(self, least: int) -> None:
        """Begin with the `least`, which keep a slow line busy."""
        self._least = self._allowed = least
        self._busy = 0
        self._free = threading.Condition()

    @contextmanager
    def turn(self) -> Generator[None, None, None]:
        """Wait for a place on the line, and hold it."""
        with self._free:
            self._free.wait_for(lambda: self._busy < self._allowed)
            self._busy += 1
        try:
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify()

    def took(self, seconds: float) -> None:
        """A transfer got through, and took so long from its first byte to the answer's last."""
        with self._free:
            if seconds < _FAST:
                self._allowed = min(self._allowed + 1, _MOST)
                self._free.notify()
            elif seconds > _SLOW:
                self._allowed = max(self._allowed - 1, self._least)
