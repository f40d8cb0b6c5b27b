# SPDX-License-Identifier: GPL-3.0-or-later
"""The session file, and the thread that tells the server how the work goes."""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway.engine.errors import SlipwayError, UsageError
from slipway.engine.progress import Record
from slipway.net.client import PATIENCE, WORK_PATIENCE, Client

log = logging.getLogger(__name__)

_POST_TIMEOUT = 10.0
# What the server is told of a job's warnings, in a record that may have 16 KiB.
_MOST_WARNINGS, _LONGEST_WARNING, _ALL_WARNINGS = 100, 500, 8 << 10


@dataclass(frozen=True)
class Session:
    """What check-in writes to /run/slipway/session.json, for root's eyes only."""

    server: str
    ca: str
    token: str
    session: str
    machine: str
    verb: str
    image: str
    version: str = ""
    # Something, if somebody at the machine may say that it be done another time.
    postponable: str = ""

    @classmethod
    def load(cls, path: Path) -> Session:
        """Read the file."""
        try:
            value = json.loads(path.read_text())
            fields = {key: value.get(key) or "" for key in cls.__annotations__}
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError(
                f"the session file {path} can't be read: {error}", "run slipway checkin first"
            ) from error
        if not all(isinstance(text, str) for text in fields.values()):
            raise UsageError(f"the session file {path} holds something else than texts")
        return cls(**fields)

    def save(self, path: Path) -> None:
        """Write the file so that nobody but root ever sees the token, and nobody half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(self), file)
        draft.rename(path)

    def client(self, patience: float = PATIENCE) -> Client:
        """A client that speaks for this session."""
        return Client(self.server, Path(self.ca), self.token, patience)


class Reporter:
    """Posts the newest progress record from a thread of its own; a slow server delays nothing."""

    def __init__(self, session: Session, job: str = "") -> None:
        """Start the thread. `job` names what it speaks of: a session may have several."""
        self._job = job
        self._warnings: list[str] = []
        self._warned = 0
        self._quick = session.client(patience=0)
        self._patient = session.client(patience=WORK_PATIENCE)
        self._brief = session.client(patience=_POST_TIMEOUT * 3)
        self._wake = threading.Condition()
        self._latest: Record | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def progress(self, record: Record) -> None:
        """Take a record; only the newest is sent."""
        with self._wake:
            self._latest = record
            self._wake.notify()

    def warning(self, message: str) -> None:
        """Take a warning; it goes with all that is sent from now on."""
        text = message[:_LONGEST_WARNING]
        self._warned += len(json.dumps(text))
        if len(self._warnings) < _MOST_WARNINGS and self._warned < _ALL_WARNINGS:
            self._warnings.append(text)
        elif self._warned < _ALL_WARNINGS * 2:
            # Said once.
            self._warned = _ALL_WARNINGS * 2
            self._warnings.append("There are more warnings; the PC's own log has them.")

    def finish(self, result: dict[str, Any]) -> None:
        """Send the result or the error of the job, behind all progress.

        A result is worth a long wait; an error may well be that nobody answers.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(_POST_TIMEOUT)
        client = self._brief if result.get("type") == "error" else self._patient
        _post(client, "/v1/session/result", self._signed(result))

    def _loop(self) -> None:
        while True:
            with self._wake:
                while self._latest is None and not self._closed:
                    self._wake.wait()
                record, self._latest = self._latest, None
                if record is None:
                    return
            _post(self._quick, "/v1/session/progress", self._signed(record.to_json()))

    def _signed(self, record: dict[str, Any]) -> dict[str, Any]:
        return record | {"job": self._job, "warnings": list(self._warnings)}


def postpone(session: Session) -> bool:
    """Ask the server to have it done another time; False: it won't, or does not answer."""
    try:
        return session.client(patience=0).request("POST", "/v1/session/postpone", {}).ok
    except SlipwayError as error:
        log.info("it can't be postponed: %s", error.message)
        return False


def report_end(session: Session, job: str, record: dict[str, Any]) -> None:
    """Send a job's last word for an agent that could not."""
    _post(session.client(patience=WORK_PATIENCE), "/v1/session/result", record | {"job": job})


def _post(client: Client, path: str, body: dict[str, Any]) -> None:
    try:
        answer = client.request("POST", path, body, timeout=_POST_TIMEOUT)
        if not answer.ok:
            log.info("the server did not take %s: %s", path, answer.status)
    except SlipwayError as error:
        log.info("the server did not take %s: %s", path, error.message)
