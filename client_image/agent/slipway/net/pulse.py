# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anything gets through to the server: what all threads of a client know together."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from slipway.engine.errors import StoreUnreachable

# What heals so soon is not worth a word; a busy server may be silent for a moment.
_HICCUP, _SILENCE = 2.0, 3.0
_HELP = "check the network and that the services nginx and slipway run on the server"


class Pulse:
    """Counts the time since the last byte, and bears it up to the end of patience."""

    def __init__(self, server: str, patience: float) -> None:
        """`patience` is how many seconds without any progress are borne."""
        self._server = server
        self._patience = patience
        self._lock = threading.Lock()
        self._moved_at = self._sent_at = 0.0
        self._busy: list[float] = []
        self._trouble: tuple[float, str] | None = None

    @contextmanager
    def transfer(self) -> Generator[None, None, None]:
        """One that keeps the line busy: without a byte, something is wrong."""
        began = time.monotonic()
        with self._lock:
            self._busy.append(began)
        try:
            yield
        finally:
            with self._lock:
                self._busy.remove(began)

    def sent(self) -> None:
        """A piece has gone out. It is a sign of life; progress it is when it is answered."""
        self._sent_at = time.monotonic()

    def moved(self) -> None:
        """Something has got through: patience begins anew."""
        with self._lock:
            self._moved_at = time.monotonic()
            self._trouble = None

    def failed(self, reason: str, failing: float) -> None:
        """A request that has failed since `failing` did so again.

        StoreUnreachable when nothing got through on any thread since then for too long.
        """
        now = time.monotonic()
        with self._lock:
            self._trouble = (self._trouble[0] if self._trouble else now), reason
            # A request may begin, and fail, long after the last that got through.
            if now - max(failing, self._moved_at) < self._patience:
                return
        waited = f" for {self._patience:.0f} seconds" if self._patience else ""
        raise StoreUnreachable(f"{self._server} did not answer{waited}: {reason}", _HELP)

    @property
    def waiting(self) -> str:
        """What is waited for, since when, and what helps; empty while something gets through."""
        now = time.monotonic()
        with self._lock:
            trouble = self._trouble
            if trouble is None and self._busy:
                # A line that is cut fails no request for long: its bytes just do not move.
                quiet = max(min(self._busy), self._moved_at, self._sent_at)
                trouble = (quiet, "it is silent") if now - quiet > _SILENCE else None
        if trouble is None or now - trouble[0] < _HICCUP:
            return ""
        since, reason = trouble
        return (
            f"waiting for the server for {now - since:.0f} s, and for {self._patience:.0f} s at "
            f"most: {reason}; {_HELP}"
        )
