"""Following a job of the agent from the controller, by plain shell over the open connection.

No Python is started on the machine for that: it may be slow, and it is busy.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import line, span
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_ssh import ANOTHER_KEY

POLL_SECONDS = 2.0
LINE_SECONDS = 5.0
# One poll; a busy machine answers late.
ANSWER_SECONDS = 30.0
# A line says so when the agent has been silent for this long.
SILENCE_SECONDS = 20.0
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
# session of a machine at work for as long as this. One that stays away for longer is given up.
LOST_SECONDS = 900.0
# Where somebody answers who is not the imaging environment, the line is whole: the machine has been
# started anew.
RESTARTED_SECONDS = 60.0
_OTHERS = (*ANOTHER_KEY, "Connection refused")

_END = "--end-of-slipway-log"
_STATE = "--state-of-slipway-unit"


@dataclass
class Job:
    """Where a job is, as the module that started it said."""

    unit: str
    log: str

    def poll_command(self, lines_read: int) -> str:
        """Return the shell command that tells the unit's state and what is new in its log.

        The state is asked for first: when it says that the job is over, the log is complete.
        """
        unit, log = shlex.quote(self.unit), shlex.quote(self.log)
        return (
            f"systemctl show -p ActiveState -p Result -p ExecMainStatus {unit};"
            f" echo; echo {_STATE}; tail -n +{lines_read + 1} {log} 2>/dev/null; echo {_END}"
        )

    def journal_command(self) -> str:
        """Return the shell command that shows what the job last said elsewhere than in its log."""
        return f"journalctl --no-pager -q -o cat -n 5 -u {shlex.quote(self.unit)}"


@dataclass
class Ending:
    """How a job ended."""

    kind: str  # result, error, killed, lost, stuck
    record: dict[str, Any] = field(default_factory=dict)
    last_phase: str = ""
    detail: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Poll:
    unit: dict[str, str]
    records: list[dict[str, Any]]
    lines: int

    @property
    def over(self) -> bool:
        return self.unit.get("ActiveState") in ("inactive", "failed")


def parse_poll(output: str) -> _Poll | None:
    """Read the output of a poll; None when it is not all there."""
    head, mark, rest = output.partition(f"{_STATE}\n")
    if not mark or _END not in rest:
        return None
    unit = dict(row.split("=", 1) for row in head.splitlines() if "=" in row)
    # Without its end of line, the last line of the log is still being written.
    complete = rest[: rest.rindex(_END)].split("\n")[:-1]
    return _Poll(unit, [record for row in complete if (record := _record(row))], len(complete))


def _record(row: str) -> dict[str, Any] | None:
    try:
        record = json.loads(row)
    # Brackets without end are no record either.
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("type"), str) else None


class Follower:
    """Polls a job until it ends, and shows a line about it every few seconds."""

    def __init__(
        self,
        host: str,
        job: Job,
        run: Callable[[str], str],
        show: Callable[[str], None],
        *,
        reconnect: Callable[[], None] = lambda: None,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take what reaches the outside as functions: the connection, the screen and the clock."""
        self.host = host
        self.job = job
        self._run = run
        self._show = show
        self._reconnect = reconnect
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._lines = 0
        self._progress: dict[str, Any] = {}
        self._final: dict[str, Any] | None = None
        self._warnings: list[str] = []
        self._others_since: float | None = None
        self._begun = self._moved = self._heard = self._answered = self._shown = clock()

    def follow(self) -> Ending:
        """Return how the job ended."""
        while True:
            try:
                poll = parse_poll(self._run(self.job.poll_command(self._lines)))
            except AnsibleConnectionFailure as failure:
                why = clean(failure, 600)
                if self._is_lost(why):
                    return self._ending("lost", detail=why[:300])
                self._reconnect()
                poll = None
            if poll is not None:
                self._take(poll)
                if self._final is not None:
                    return self._ending(self._final["type"], self._final)
                if poll.over:
                    return self._ending("killed", detail=self._reason(poll))
            if (still := self._clock() - self._moved) > self._patience:
                return self._ending("stuck", detail=f"nothing has moved for {span(still)}")
            if self._clock() - self._begun > LONGEST_SECONDS:
                return self._ending("stuck", detail="it takes longer than any job may")
            self._tell()
            self._sleep(POLL_SECONDS)

    def _is_lost(self, why: str) -> bool:
        now = self._clock()
        if not any(words in why for words in _OTHERS):
            self._others_since = None
            return now - self._answered > LOST_SECONDS
        if self._others_since is None:
            self._others_since = now
        return now - self._others_since > RESTARTED_SECONDS

    def _take(self, poll: _Poll) -> None:
        self._answered = self._clock()
        self._others_since = None
        self._lines += poll.lines
        if poll.records:
            self._heard = self._answered
        for record in poll.records:
            if record["type"] == "progress":
                if any(record.get(key) != self._progress.get(key) for key in _AMOUNTS):
                    self._moved = self._answered
                self._progress = record
            elif record["type"] == "warning":
                self._warn(clean(record.get("message", ""), _LONGEST_WARNING))
            elif record["type"] in ("result", "error"):
                self._final = record

    def _warn(self, text: str) -> None:
        if len(self._warnings) > MOST_WARNINGS:
            return
        if len(self._warnings) == MOST_WARNINGS:
            text = "There are more warnings; they are not shown."
        self._warnings.append(text)
        self._show(f"{self.host}  warning: {text}")

    def _tell(self) -> None:
        now = self._clock()
        if now - self._shown < LINE_SECONDS:
            return
        self._shown = now
        if now - self._answered >= LINE_SECONDS + POLL_SECONDS:
            self._show(f"{self.host}  has not answered for {span(now - self._answered)}")
        elif now - self._heard >= SILENCE_SECONDS:
            self._show(f"{self.host}  no news from the agent for {span(now - self._heard)}")
        elif self._progress:
            self._show(line(self.host, self._progress))

    def _reason(self, poll: _Poll) -> str:
        result, status = poll.unit.get("Result", ""), poll.unit.get("ExecMainStatus", "")
        reason = f"{clean(result, 40) or 'unknown'}, status {clean(status, 10) or 'unknown'}"
        try:
            said = clean(self._run(self.job.journal_command()), 600)
        except AnsibleConnectionFailure:
            said = ""
        return f"{reason}; it last said: {said}" if said else reason

    def _ending(self, kind: str, record: dict[str, Any] | None = None, detail: str = "") -> Ending:
        phase = clean(self._progress.get("phase", ""), 20)
        return Ending(kind, record or {}, phase, detail, self._warnings)
