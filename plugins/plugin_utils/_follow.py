# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a job of the agent by what the image server hears of it.

The server is where the agent sends its progress, its last word and, if it is killed, the word of
its end, and it bounds them in size and time. There is no other way: a job whose server can't be
asked can't go on either, and what it did counts when the server knows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import line, span

# The server answers when the job ends; else after so long. At first soon, for short jobs, then
# seldom: each look is a program that is started on the server.
FIRST_LOOK, LONGEST_LOOK = 4.0, 20.0
_LOOK_GROWS = 12.0
# Between two looks, if the server answers at once.
PAUSE_SECONDS = 2.0
# A line says so when the agent, or the machine, has been silent for this long.
SILENCE_SECONDS = 20.0
# How long a job whose start was not confirmed may take until its first word.
BEGIN_SECONDS = 20.0
# A job whose amounts have not moved for this long is given up, unless told otherwise. Bad sectors
# may be read for an hour without any.
PATIENCE_SECONDS = 90 * 60.0
# No honest job takes a week, and a machine that lies could count for ever.
LONGEST_SECONDS = 7 * 86400.0
# What is kept and shown of a job's warnings.
MOST_WARNINGS = 100
_LONGEST_WARNING = 500
# What moves while a job works.
_AMOUNTS = ("phase", "disk", "partition", "done", "sent", "written")
# A job outlives a broken line: the agent bears one for ten minutes, and the service keeps the
# session of a machine at work for as long as this. So long a service that does not answer is borne.
LOST_SECONDS = 900.0
# A session's end that nobody asked for.
_GONE = ("abandoned", "expired")


@dataclass
class Ending:
    """How a job ended."""

    kind: str  # result, error, killed, lost, stuck, ended
    record: dict[str, Any] = field(default_factory=dict)
    last_phase: str = ""
    detail: str = ""
    warnings: list[str] = field(default_factory=list)


class Follower:
    """Asks for a job until it has ended, and shows a line about it every few seconds."""

    def __init__(
        self,
        host: str,
        job: str,
        look: Callable[[float], Mapping[str, Any]],
        show: Callable[[str], None],
        *,
        reconnect: Callable[[], None] = lambda: None,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take what reaches the outside as functions: the server, the screen and the clock.

        `look` returns the session once a job has ended, or after so many seconds; SlipwayError
        when the server can't be asked.
        """
        self.host = host
        self.job = job
        self._look = look
        self._show = show
        self._reconnect = reconnect
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._progress: dict[str, Any] = {}
        self._final: dict[str, Any] | None = None
        self._warnings: list[str] = []
        self._last_heard: object = None
        self._begun = self._moved = self._spoke = self._heard = self._answered = clock()

    def has_begun(self) -> bool:
        """Tell whether the server hears of the job, within a few seconds."""
        deadline = self._clock() + BEGIN_SECONDS
        while not self._progress and self._final is None and self._clock() < deadline:
            if self._ask(PAUSE_SECONDS) is None:
                return False
            self._sleep(PAUSE_SECONDS)
        return bool(self._progress or self._final)

    def follow(self) -> Ending:
        """Return how the job ended; SlipwayError when the server was silent for too long."""
        while True:
            asked = self._clock()
            session = self._ask(min(LONGEST_LOOK, FIRST_LOOK + self._elapsed / _LOOK_GROWS))
            if self._final is not None:
                return self._ending(str(self._final["type"]), self._final)
            if session is not None and (ending := self._ended(session)):
                return ending
            if self._elapsed > LONGEST_SECONDS:
                return self._ending("stuck", detail="it takes longer than any job may")
            self._tell()
            if self._clock() - asked < PAUSE_SECONDS:
                self._sleep(PAUSE_SECONDS)

    @property
    def _elapsed(self) -> float:
        return self._clock() - self._begun

    def _ask(self, seconds: float) -> Mapping[str, Any] | None:
        """Look at the session; None while the server does not answer."""
        try:
            session = self._look(seconds)
        except SlipwayError:
            if self._clock() - self._answered > LOST_SECONDS:
                raise
            self._reconnect()
            return None
        self._answered = self._clock()
        self._take(session)
        return session

    def _take(self, session: Mapping[str, Any]) -> None:
        if session.get("last_heard") != self._last_heard:
            self._last_heard, self._heard = session.get("last_heard"), self._answered
        for kind in ("progress", "result"):
            record = session.get(kind)
            # A session may have had another job before.
            if isinstance(record, Mapping) and record.get("job") == self.job:
                self._warn(record.get("warnings"))
                if kind == "progress":
                    self._advance(dict(record))
                elif record.get("type") in ("result", "error", "killed"):
                    self._final = dict(record)

    def _advance(self, record: dict[str, Any]) -> None:
        if record != self._progress:
            self._spoke = self._answered
        if any(record.get(key) != self._progress.get(key) for key in _AMOUNTS):
            self._moved = self._answered
        self._progress = record

    def _warn(self, said: object) -> None:
        """Show what is new: each record names all warnings so far."""
        known = len(self._warnings)
        for warning in said[known:] if isinstance(said, list) else ():
            if len(self._warnings) > MOST_WARNINGS:
                return
            text = clean(warning, _LONGEST_WARNING)
            if len(self._warnings) == MOST_WARNINGS:
                text = "There are more warnings; they are not shown."
            self._warnings.append(text)
            self._show(f"{self.host}  warning: {text}")

    def _ended(self, session: Mapping[str, Any]) -> Ending | None:
        """Return the end of a job that has no last word, if it has come."""
        now = self._clock()
        if session.get("state") == "ended":
            outcome = clean(session.get("outcome"), 20)
            if outcome not in _GONE:
                return self._ending("ended", detail=outcome)
            return self._ending("lost", detail=self._silence(now))
        # Of a machine that is silent nobody knows whether anything moves.
        if now - self._heard > SILENCE_SECONDS:
            if now - self._heard > min(LOST_SECONDS, self._patience):
                return self._ending("lost", detail=self._silence(now))
        elif now - self._moved > self._patience:
            detail = f"nothing has moved for {span(now - self._moved)}"
            return self._ending("stuck", detail=detail)
        return None

    def _silence(self, now: float) -> str:
        return f"the image server has not heard it for {span(now - self._heard)}"

    def _tell(self) -> None:
        now = self._clock()
        silent, unsaid = now - self._answered, now - self._heard
        if silent >= PAUSE_SECONDS + SILENCE_SECONDS / 2:
            self._show(f"{self.host}  the image server has not answered for {span(silent)}")
        elif unsaid >= SILENCE_SECONDS:
            self._show(f"{self.host}  {self._silence(now)}")
        elif now - self._spoke >= SILENCE_SECONDS:
            self._show(f"{self.host}  no news from the agent for {span(now - self._spoke)}")
        elif self._progress:
            self._show(line(self.host, self._progress))

    def _ending(self, kind: str, record: dict[str, Any] | None = None, detail: str = "") -> Ending:
        phase = clean(self._progress.get("phase", ""), 20)
        if kind == "killed" and record is not None:
            detail = _reason(record)
        return Ending(kind, record or {}, phase, detail, self._warnings)


def _reason(record: Mapping[str, Any]) -> str:
    result, status = (clean(record.get(key) or "unknown", 40) for key in ("result", "status"))
    reason, said = f"{result}, status {status}", clean(record.get("said") or "", 600)
    return f"{reason}; it last said: {said}" if said else reason
