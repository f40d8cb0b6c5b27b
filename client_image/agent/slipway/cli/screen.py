"""Terminals that a person may sit at: a screen is drawn anew, a serial line gets what changed."""

from __future__ import annotations

import os
import re
import select
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_SCREEN = re.compile(r"/dev/tty\d+")
_CLEAR = "\x1b[H\x1b[2J"
_LONGEST_LINE = 4096


class Screen:
    """Shows lines on one terminal."""

    def __init__(self, out: TextIO) -> None:
        """`out` may be a screen, a serial line, or a pipe."""
        self._out = out
        self.redraws = out.isatty() and _SCREEN.fullmatch(os.ttyname(out.fileno())) is not None
        self._seen: list[str] = []

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines; on a serial line, those that differ from what stood there before."""
        if self.redraws:
            self._out.write(_CLEAR + "".join(f"{line}\r\n" for line in lines))
        else:
            for place, line in enumerate(lines):
                if line and self._seen[place : place + 1] != [line]:
                    self._out.write(f"{line}\r\n")
        self._seen = list(lines)
        self._out.flush()

    def prompt(self, text: str) -> None:
        """Ask on a line of its own."""
        self._out.write(text)
        self._out.flush()


class Terminals:
    """All terminals of this PC: the same is shown on each, and the first answer counts."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open those that are there."""
        self._handles: list[int] = []
        self._screens: list[Screen] = []
        for path in paths:
            with suppress(OSError):
                handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
                if not os.isatty(handle):
                    os.close(handle)
                    continue
                self._handles.append(handle)
                self._screens.append(Screen(open(os.dup(handle), "w", encoding="utf-8")))  # noqa: SIM115 - open as long as this is

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines everywhere; a terminal that went away is no failure."""
        for screen in self._screens:
            with suppress(OSError):
                screen.draw(lines)

    def ask(
        self,
        prompt: str,
        seconds: float,
        secret: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> str | None:
        """The line that somebody types first; None when nobody did within that time."""
        before = [termios.tcgetattr(handle) for handle in self._handles]
        try:
            for handle, settings in zip(self._handles, before, strict=True):
                termios.tcsetattr(handle, termios.TCSAFLUSH, _line_mode(settings, secret))
            for screen in self._screens:
                with suppress(OSError):
                    screen.prompt(prompt)
            return self._line(clock, clock() + seconds)
        finally:
            for handle, settings in zip(self._handles, before, strict=True):
                with suppress(OSError, termios.error):
                    termios.tcsetattr(handle, termios.TCSANOW, settings)
            for screen in self._screens:
                with suppress(OSError):
                    screen.prompt("\r\n")

    def _line(self, clock: Callable[[], float], deadline: float) -> str | None:
        handles = list(self._handles)
        while (left := deadline - clock()) > 0:
            for handle in select.select(handles, [], [], left)[0]:
                try:
                    data = os.read(handle, _LONGEST_LINE)
                except OSError:
                    data = b""
                if data.endswith((b"\n", b"\r")):
                    return data.decode("utf-8", "replace").strip("\r\n")
                # A terminal that hung up says so for ever.
                handles = [each for each in handles if each != handle or data]
        return None

    def wait(self, seconds: float) -> None:
        """Wait that long, or until somebody presses Enter."""
        self.ask("", seconds, secret=True)


def _line_mode(settings: list[object], secret: bool) -> list[object]:
    changed = [*settings]
    flags = int(str(changed[3])) | termios.ICANON
    changed[3] = flags & ~termios.ECHO if secret else flags | termios.ECHO
    changed[0] = int(str(changed[0])) | termios.ICRNL
    return changed
