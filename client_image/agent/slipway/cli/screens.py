# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking with the person in front of the PC: lines to every screen, lines from any keyboard."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from slipway.engine.devices import clean

_SERIAL_TYPE = Path("/sys/class/tty")
_LONGEST_LINE = 512
_STDIN, _STDOUT = 0, 1


class Screens:
    """The terminals that are there; standard input and output when none is named."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        """Open them; a serial port without a chip behind it is none."""
        self._pairs = [(handle, handle) for handle in map(_open, paths) if handle is not None]
        if not paths:
            self._pairs = [(_STDIN, _STDOUT)]
        self._deaf: set[int] = set()

    def say(self, *lines: str) -> None:
        """Write lines to all of them; what hardware or a server said was cleaned before."""
        self.put("".join(f"{line}\r\n" for line in lines))

    def put(self, text: str) -> None:
        """Write text as it is to all of them."""
        data = text.encode()
        for _, out in self._pairs:
            try:
                os.write(out, data)
            except OSError:
                continue

    def typed(self, seconds: float) -> str | None:
        """A line that somebody types within so many seconds."""
        line = self._line(seconds)
        return None if line is None else clean(line)

    def _line(self, seconds: float) -> str | None:
        ears = [ear for ear, _ in self._pairs if ear not in self._deaf]
        if not ears:
            time.sleep(seconds)
            return None
        for ear in select.select(ears, [], [], seconds)[0]:
            try:
                data = os.read(ear, _LONGEST_LINE)
            except OSError:
                data = b""
            if not data:
                # Hung up: asking it again would never wait.
                self._deaf.add(ear)
                continue
            return data.decode("utf-8", "replace").strip("\r\n")
        return None


def _open(path: Path) -> int | None:
    kind = _SERIAL_TYPE / path.name / "type"
    try:
        if kind.exists() and kind.read_text().strip() == "0":
            return None
        # Without waiting for a carrier, and never as the terminal that can send us signals.
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    os.set_blocking(handle, True)
    return handle
