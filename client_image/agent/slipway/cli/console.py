# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person in front of the PC sees: the job's progress, or what the machine waits for.

tty1 is a screen that is drawn anew; a serial console gets one plain line every two seconds.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from slipway.cli.screen import Screen
from slipway.cli.views import progress_line
from slipway.format.units import clock, size

# Behind one of these comes nothing more.
LAST_WORDS = ("result", "error", "killed")
_LATER = (
    "Do you need this PC now? Press P: it starts its own system, and this is done another time."
)
_TAIL = 64 << 10
_STALE = 60.0
_SCREEN_PAUSE, _LINE_PAUSE = 1.0, 2.0


class Console:
    """Reads the state of the machine from files; keeps no state but the clock."""

    def __init__(self, jobs: Path, session: Path, now: Callable[[], float] = time.time) -> None:
        """`jobs` is the folder with the jobs' JSON lines, `session` the session's file."""
        self._jobs = jobs
        self._session = session
        self._now = now

    def title(self) -> str:
        """Who this machine is and what it is here for."""
        session = _load(self._session)
        address = own_address(session.get("server", ""))
        words = [
            "Slipway",
            session.get("machine") or "machine without a session",
            address,
            " ".join(filter(None, (session.get("verb"), session.get("image")))),
        ]
        return "   ".join(word for word in words if word)

    def status(self) -> str:
        """What is going on, in one line."""
        newest = self._newest()
        if newest is None:
            return "waiting for the server" if self._session.exists() else "checking in"
        record = last_record(newest)
        kind = record.get("type")
        if kind == "progress":
            quiet = self._now() - newest.stat().st_mtime
            late = f"  (no news for {clock(quiet)})" if quiet > _STALE else ""
            return progress_line(record) + late
        if kind == "result":
            return _result_line(record)
        if kind == "error":
            remedy = record.get("remedy")
            helps = f"  What helps: {remedy}" if remedy else ""
            return f"FAILED: {record.get('message', '?')}.{helps}"
        if kind == "killed":
            why = " ".join(str(record.get(key, "?")) for key in ("result", "status"))
            return f"FAILED: the agent was killed ({why}).  {record.get('said', '')}".rstrip()
        return "starting"

    def may_be_postponed(self) -> bool:
        """Whether somebody here may say that it be done another time."""
        if not _load(self._session).get("postponable"):
            return False
        newest = self._newest()
        return newest is None or last_record(newest).get("type") not in LAST_WORDS

    def lines(self) -> list[str]:
        """All that is shown."""
        hint = ["", _LATER] if self.may_be_postponed() else []
        return [self.title(), "", self.status(), *hint]

    def _newest(self) -> Path | None:
        try:
            files = [(path.stat().st_mtime_ns, path) for path in self._jobs.glob("*.jsonl")]
        except OSError:
            return None
        return max(files)[1] if files else None


def _result_line(record: dict[str, Any]) -> str:
    verb, took = record.get("verb", "?"), clock(record.get("seconds"))
    amounts = [
        f"{size(record[key])} {key}" for key in ("read", "sent", "written") if record.get(key)
    ]
    return f"{verb} finished in {took}: {', '.join(amounts) or 'nothing to do'}"


def last_record(path: Path) -> dict[str, Any]:
    """The last complete line of a job's file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        value = _parse(line)
        if value.get("type") in ("progress", *LAST_WORDS):
            return value
    return {}


def _load(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_bytes())
    except OSError:
        return {}


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def own_address(server: str) -> str:
    """The address that this machine uses towards the server; no packet is sent."""
    host = server.partition("://")[2].partition("/")[0].partition(":")[0]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host or "192.0.2.1", 443))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def follow(
    console: Console,
    out: TextIO,
    once: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Draw for ever, or once."""
    screen = Screen(out)
    while True:
        screen.draw(console.lines())
        if once:
            return
        sleep(_SCREEN_PAUSE if screen.redraws else _LINE_PAUSE)
