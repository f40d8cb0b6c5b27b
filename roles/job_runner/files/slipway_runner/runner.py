# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes jobs from the control service, runs a few at once, and says how each one ended."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

from .play import Ending

log = logging.getLogger(__name__)

_POLL_SECONDS = 3.0
_PAUSE = 0.5
# The service is being restarted: it is back in a second or two.
_RETRY = 1.0
# These say that the service will never take the news; anything else is tried again.
_FINAL = ("no_such_job", "bad_request")

Play = Callable[[Mapping[str, Any], Callable[[], bool]], Ending]


class Service(Protocol):
    """The control service, as the runner's socket offers it: `AdminApi`."""

    def poll_jobs(self, runner: str, holds: list[str], free: int, wait: float) -> Mapping[str, Any]:
        """What to begin and what to stop."""

    def end_job(self, identifier: str, outcome: str, message: str, remedy: str) -> object:
        """How a job ended."""


@dataclass
class _Held:
    """A job that this runner has."""

    thread: threading.Thread
    stopped: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Runs until it is told to stop, or to finish what it has and then stop."""

    def __init__(
        self,
        service: Service,
        play: Play,
        limit: int,
        tidy: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`play` runs one job to its end; at most `limit` of them run at once."""
        self._service = service
        self._play = play
        self._limit = limit
        self._tidy = tidy
        self._sleep = sleep
        self._id = secrets.token_hex(8)
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()
        self._stopping = threading.Event()

    def drain(self) -> None:
        """Take no new job, and end when those at work have ended."""
        self._draining.set()

    def stop(self) -> None:
        """Stop every job now, say so, and end."""
        self._draining.set()
        self._stopping.set()
        with self._lock:
            for held in self._held.values():
                held.stopped.set()

    def run(self) -> None:
        """Take jobs until told otherwise."""
        self._tidy()
        while not (self._draining.is_set() and not self._holds()):
            try:
                self._poll()
            except SlipwayError as error:
                log.warning("%s", error)
                self._sleep(_RETRY)
            self._sleep(_PAUSE)

    def _holds(self) -> list[str]:
        with self._lock:
            return list(self._held)

    def _poll(self) -> None:
        holds = self._holds()
        free = 0 if self._draining.is_set() else self._limit - len(holds)
        wait = 0.0 if self._stopping.is_set() else _POLL_SECONDS
        answer = self._service.poll_jobs(self._id, holds, free, wait)
        with self._lock:
            for job_id in answer["stop"]:
                if job_id in self._held:
                    self._held[job_id].stopped.set()
        for job in answer["begin"]:
            self._begin(job)

    def _begin(self, job: Mapping[str, Any]) -> None:
        log.info("job %s: %s of %s", job["id"], job["verb"], job["machine"])
        held = _Held(threading.Thread(target=self._work, args=(job,), name=job["id"], daemon=True))
        with self._lock:
            self._held[job["id"]] = held
            if self._stopping.is_set():
                held.stopped.set()
        held.thread.start()

    def _work(self, job: Mapping[str, Any]) -> None:
        held = self._held[job["id"]]
        try:
            ending = self._play(job, held.stopped.is_set)
        except Exception as error:
            # Whatever it was: the job must end, and its PC must be told.
            log.exception("job %s", job["id"])
            why = f"The job runner failed: {type(error).__name__}."
            ending = Ending("failed", why, "Look at the journal of slipway-runner.service.")
        if self._stopping.is_set():
            again = "Order it again." if job["arrival"] == "wakes" else "Choose the item again."
            ending = Ending("failed", "The job runner was stopped.", again)
        self._report(job["id"], ending)
        with self._lock:
            del self._held[job["id"]]
        log.info("job %s: %s %s", job["id"], ending.outcome, ending.message)
        self._tidy()

    def _report(self, job_id: str, ending: Ending) -> None:
        while True:
            try:
                self._service.end_job(job_id, ending.outcome, ending.message, ending.remedy)
                return
            except SlipwayError as error:
                # A service that is down ends the job itself when nobody speaks for it.
                if error.error in _FINAL or self._stopping.is_set():
                    log.warning("job %s: %s", job_id, error)
                    return
                self._sleep(_RETRY)
