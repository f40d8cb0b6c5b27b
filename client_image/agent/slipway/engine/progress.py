# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress as typed records, at most one a second. Whoever wants to see them gives a sink."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

Phase = Literal[
    "map",
    "gaps",
    "plan",
    "compare",
    "backup",
    "publish",
    "check",
    "restore",
    "grow",
    "verify",
    "copy",
]
_WINDOW = 10.0


@dataclass(frozen=True)
class Record:
    """How far one phase is. All amounts are bytes, all times seconds."""

    phase: Phase
    disk: str
    partition: str
    done: int
    total: int
    sent: int
    written: int
    rate: int
    """Per second, over the last ten seconds."""
    eta: int | None
    elapsed: float
    waiting: str = ""
    """What keeps the work from going on, and what helps; empty while it goes on."""

    def to_json(self) -> dict[str, Any]:
        """The record as `--json` prints it."""
        return {"type": "progress"} | asdict(self)


Sink = Callable[[Record], None]


class Meter:
    """Counts what the threads do, and tells the sink once a second and at each phase's end."""

    def __init__(
        self,
        sink: Sink = lambda record: None,
        clock: Callable[[], float] = time.monotonic,
        interval: float = 1.0,
        waiting: Callable[[], str] = lambda: "",
    ) -> None:
        """A meter that has not started any phase. `waiting` says what the work waits for."""
        self._sink = sink
        self._waiting = waiting
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._begin = clock()
        self._phase: Phase = "map"
        self._where = ("", "")
        self._total = self._done = 0
        self._samples: deque[tuple[float, int]] = deque()
        self.sent = 0
        self.written = 0

    @contextmanager
    def phase(self, phase: Phase, total: int) -> Generator[None, None, None]:
        """Count one phase from 0 to `total` bytes."""
        with self._lock:
            self._phase, self._total, self._done = phase, total, 0
            self._where = ("", "")
            self._samples = deque([(self._clock(), 0)])
        stop = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stop,), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stop.set()
            ticker.join()
            self._sink(self.record())

    def at(self, disk: str, partition: str) -> None:
        """Say which disk and partition are being worked on."""
        self._where = (disk, partition)

    def add(self, done: int = 0, sent: int = 0, written: int = 0) -> None:
        """Count bytes; called by all threads."""
        with self._lock:
            self._done += done
            self.sent += sent
            self.written += written

    def record(self) -> Record:
        """Where the phase stands now."""
        with self._lock:
            now = self._clock()
            self._samples.append((now, self._done))
            while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
                self._samples.popleft()
            then, before = self._samples[0]
            rate = int((self._done - before) / (now - then)) if now > then else 0
            left = max(self._total - self._done, 0)
            return Record(
                phase=self._phase,
                disk=self._where[0],
                partition=self._where[1],
                done=self._done,
                total=self._total,
                sent=self.sent,
                written=self.written,
                rate=rate,
                eta=round(left / rate) if rate else None,
                elapsed=round(now - self._begin, 1),
                waiting=self._waiting(),
            )

    def _tick(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            self._sink(self.record())
