# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads over one stream of tasks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

_Task = TypeVar("_Task")
_POLL = 0.2


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def parallel(
    tasks: Iterable[_Task], make_worker: Callable[[], Callable[[_Task], None]], threads: int
) -> None:
    """Do every task in one of `threads` threads; each thread makes a worker of its own.

    The first error stops all threads and is raised here. The caller's thread only waits, so that
    signals reach it.
    """
    stream, lock, stop = iter(tasks), threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def loop() -> None:
        try:
            worker = make_worker()
            while not stop.is_set():
                with lock:
                    task = next(stream, None)
                if task is None:
                    return
                worker(task)
        except BaseException as error:
            errors.append(error)
            stop.set()

    crew = [threading.Thread(target=loop, daemon=True) for _ in range(max(threads, 1))]
    for thread in crew:
        thread.start()
    try:
        for thread in crew:
            while thread.is_alive():
                thread.join(_POLL)
    finally:
        stop.set()
        for thread in crew:
            thread.join()
    if errors:
        raise errors[0]
