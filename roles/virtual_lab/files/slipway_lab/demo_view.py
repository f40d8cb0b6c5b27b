# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` shows of playbooks: a line for each step, a bar for each machine.

A log has all the rest.

On a terminal the lines of machines at work are drawn anew in place. Elsewhere a machine's line is
printed when it begins something else, is half-way, or has finished, so that a log stays short.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What the session's action plugins print: NAME, two blanks, what it does.
_MACHINE = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)  (?P<doing>\S.*)")
_SHARE = re.compile(r"(?P<phase>.*?) {2,}(?P<percent>\d{1,3}) %  (?P<rest>.*)")
_TASK = re.compile(r"TASK \[(?:slipway\.imaging\.)?(?P<title>[^\]]+)\]")
_BAR = 24


class View:
    """Shows the steps of a demo. ``clock`` is in seconds and only goes forward."""

    def __init__(
        self,
        out: TextIO,
        log: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show on ``out``; all that Ansible says goes to ``log``."""
        self._out, self._log, self._clock = out, log, clock
        self._live = out.isatty()
        self._machines: dict[str, str] = {}
        self._said: dict[str, tuple[str, bool]] = {}
        self._task = ""
        self._drawn = 0
        self._began = clock()

    def begin(self, title: str) -> None:
        """Announce a step."""
        self._machines, self._said, self._task = {}, {}, ""
        self._began = self._clock()
        self._log.write(f"\n=== {title}\n")
        self._print(f"=== {title}")

    def end(self, text: str = "done") -> None:
        """Close the step, with its time."""
        self._erase()
        minutes, seconds = divmod(round(self._clock() - self._began), 60)
        self._print(f"    {text} in {minutes}:{seconds:02}")

    def event(self, event: Mapping[str, Any]) -> None:
        """Take an event of ansible-runner."""
        text = str(event.get("stdout") or "")
        if not text:
            return
        plain = _COLOURS.sub("", text.replace("\r\n", "\n"))
        self._log.write(plain + "\n")
        self._log.flush()
        for line in plain.splitlines():
            self._line(line.rstrip())
        self._draw()

    def _line(self, line: str) -> None:
        if found := _TASK.match(line):
            self._task = found["title"].rsplit(" : ", 1)[-1]
        elif found := _MACHINE.fullmatch(line):
            name, shown = found["name"], bar(found["doing"])
            self._machines[name] = shown
            stage = _stage(found["doing"])
            if not self._live and self._said.get(name) != stage:
                self._said[name] = stage
                self._print(f"    {name}  {shown}")

    def _draw(self) -> None:
        if not self._live:
            return
        self._erase()
        lines = [f"    {name}  {text}" for name, text in sorted(self._machines.items())]
        lines = lines or ([f"    {self._task}"] if self._task else [])
        for line in lines:
            self._out.write(line[:118] + "\n")
        self._drawn = len(lines)
        self._out.flush()

    def _erase(self) -> None:
        if self._drawn:
            # Up so many lines, and clear from there to the end of the screen.
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _print(self, text: str) -> None:
        self._erase()
        self._out.write(text + "\n")
        self._out.flush()


def bar(doing: str) -> str:
    """Return what a machine does, with a bar where it says how far it is."""
    found = _SHARE.fullmatch(doing)
    if found is None:
        return doing
    percent = min(100, int(found["percent"]))
    full = _BAR * percent // 100
    drawn = "#" * full + "." * (_BAR - full)
    return f"{found['phase']}  [{drawn}] {percent:3} %  {found['rest']}"


def _stage(doing: str) -> tuple[str, bool]:
    """What is worth a line of its own in a log: another phase, its second half."""
    found = _SHARE.fullmatch(doing)
    words = doing.split(" ")
    if found is None:
        # "waiting for the machine: ..." changes with every second; its beginning does not.
        return doing.partition(":")[0] if words[0] == "waiting" else doing, False
    return words[0], int(found["percent"]) >= 50
