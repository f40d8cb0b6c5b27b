# SPDX-License-Identifier: GPL-3.0-or-later
"""How lines are shown: a screen is drawn anew, a serial line gets what changed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TextIO

_SCREEN = re.compile(r"/dev/tty\d+")
_CLEAR = "\x1b[H\x1b[2J"


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
