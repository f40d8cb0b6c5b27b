# SPDX-License-Identifier: GPL-3.0-or-later
"""Screens that are drawn as a whole, and questions whose answer may be a secret."""

from __future__ import annotations

import os
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway.cli.screen import Screen
from slipway.cli.screens import Screens


class Terminals(Screens):
    """The same is shown on all terminals, and the first answer counts."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        """Open them; standard input and output when none is named."""
        super().__init__(paths)
        self._views = [Screen(os.fdopen(os.dup(out), "w")) for _, out in self._pairs]

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines everywhere; a terminal that went away is no failure."""
        for view in self._views:
            with suppress(OSError):
                view.draw(lines)

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        """The line that somebody types first; None when nobody did within that time."""
        deadline = time.monotonic() + seconds
        line = None
        with self._asking(secret):
            self.put(prompt)
            while line is None and (left := deadline - time.monotonic()) > 0:
                line = self._line(left)
        self.put("\r\n")
        return line

    def wait(self, seconds: float) -> None:
        """Wait that long, or until somebody presses Enter."""
        self.ask("", seconds, secret=True)

    def pressed(self, seconds: float) -> bool:
        """Whether somebody presses any key within that time; what it is does not count."""
        return self.key(seconds) is not None

    def key(self, seconds: float) -> str | None:
        """What somebody presses within that time."""
        with self._asking(secret=True, lines=False):
            return self._line(seconds)

    @contextmanager
    def _asking(self, secret: bool, lines: bool = True) -> Iterator[None]:
        """Lines with or without echo, or single keys; what was typed before does not count."""
        before = []
        for ear, _ in self._pairs:
            with suppress(OSError, termios.error):
                before.append((ear, termios.tcgetattr(ear)))
        try:
            for ear, settings in before:
                flags = int(settings[3]) & ~termios.ICANON
                flags |= termios.ICANON if lines else 0
                echo = flags & ~termios.ECHO if secret else flags | termios.ECHO
                asking = [int(settings[0]) | termios.ICRNL, *settings[1:3], echo, *settings[4:]]
                termios.tcsetattr(ear, termios.TCSAFLUSH, asking)
            yield
        finally:
            for ear, settings in before:
                with suppress(OSError, termios.error):
                    termios.tcsetattr(ear, termios.TCSANOW, settings)
