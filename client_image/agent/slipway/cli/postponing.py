# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody at the PC needs it now: what was planned is left for another time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from slipway.cli.console import Console
from slipway.engine.run import run
from slipway.net.session import Session, postpone

_KEY = "p"


class Keyboard(Protocol):
    """Where keys are pressed: `Terminals`."""

    def key(self, seconds: float) -> str | None:
        """What somebody presses within that time."""


class Postponing:
    """Pauses between two looks, in which a key counts where it may."""

    def __init__(
        self,
        console: Console,
        keyboard: Keyboard,
        session: Path,
        restart: Callable[[], object] = lambda: run(["systemctl", "--no-block", "reboot"]),
    ) -> None:
        """`session` is the session's file."""
        self._console = console
        self._keyboard = keyboard
        self._session = session
        self._restart = restart

    def pause(self, seconds: float) -> None:
        """Wait, or restart into the PC's own system once somebody has said so."""
        if not self._console.may_be_postponed():
            time.sleep(seconds)
            return
        # One key for all: what noise there is on a serial line seldom says it.
        pressed = self._keyboard.key(seconds) or ""
        # The server first: without its word the next boot could lead here again.
        if pressed.strip().lower() == _KEY and postpone(Session.load(self._session)):
            self._restart()
