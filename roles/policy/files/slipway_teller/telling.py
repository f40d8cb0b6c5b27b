# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes on telling: a thread for each who is told, so that one that is down keeps nobody waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .sending import NotToldError
from .service import ServiceDownError
from .settings import Hook, Mail, Sink

log = logging.getLogger(__name__)

# How often it is asked what is new, and how long is waited after the first and the last of many
# failures in a row.
LOOK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 3600.0


class Asked(Protocol):
    """The control service: `service.Service`."""

    def name(self, sinks: list[str]) -> None:
        """Say who is told from now on."""

    def waiting(self, sink: str) -> tuple[str, list[dict[str, Any]]]:
        """The server's name, and what a sink is to be told next."""

    def told(self, sink: str, number: int) -> None:
        """Say that a sink was told an event."""

    def not_told(self, sink: str, problem: str) -> None:
        """Say why a sink can't be told."""


Send = Callable[[Mail | Hook, str, Mapping[str, Any]], None]


class Telling:
    """Runs until it is stopped."""

    def __init__(
        self,
        service: Asked,
        sinks: list[Sink],
        send: Send,
        look_seconds: float = LOOK_SECONDS,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """``send`` tells one event, or raises NotToldError."""
        self._service = service
        self._sinks = sinks
        self._send = send
        self._look_seconds = look_seconds
        self._first_pause = first_pause
        self._stop = threading.Event()

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Tell until it is stopped."""
        while not self._stop.is_set():
            try:
                self._service.name([sink.name for sink in self._sinks])
                break
            except ServiceDownError as error:
                log.warning("%s", error)
                self._stop.wait(self._look_seconds)
        threads = [
            # A mail server may let a connection hang when this process is to end.
            threading.Thread(target=self._go_on, args=(sink,), name=sink.name, daemon=True)
            for sink in self._sinks
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()

    def _go_on(self, sink: Sink) -> None:
        pause = self._first_pause
        while not self._stop.is_set():
            try:
                self._tell_all(sink)
            except ServiceDownError as error:
                log.warning("%s", error)
            except NotToldError as error:
                log.warning("%s was not told: %s. Again in %.0f s.", sink.name, error, pause)
                self._note(sink, str(error))
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = self._first_pause
            self._stop.wait(self._look_seconds)

    def _tell_all(self, sink: Sink) -> None:
        while True:
            server, events = self._service.waiting(sink.name)
            if not events:
                return
            for event in events:
                if self._stop.is_set():
                    return
                if _wants(sink, event):
                    self._send(sink.by, server, event)
                    log.info("%s was told of %s", sink.name, event["kind"])
                self._told(sink, event["number"])

    def _told(self, sink: Sink, number: int) -> None:
        """Say that it was told, until the service has heard it: else it would be told again."""
        while True:
            try:
                self._service.told(sink.name, number)
                return
            except ServiceDownError:
                if self._stop.wait(self._look_seconds):
                    raise

    def _note(self, sink: Sink, problem: str) -> None:
        try:
            self._service.not_told(sink.name, problem)
        except ServiceDownError as error:
            log.warning("%s", error)


def _wants(sink: Sink, event: Mapping[str, Any]) -> bool:
    if isinstance(sink.by, Hook) and sink.by.alive:
        return bool(event["kind"] == "window_done")
    return event["kind"] in sink.of and not event["quiet"]
