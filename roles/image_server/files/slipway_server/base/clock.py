# SPDX-License-Identifier: GPL-3.0-or-later
"""The time as it was when the service started and as it went on since."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

# What a clock that is merely corrected never jumps by.
_JUMP_SECONDS = 60.0


class SteadyClock:
    """A clock that is set years ahead must not make old what ended a minute ago."""

    def __init__(self) -> None:
        """It starts now."""
        self.started, self._began, self._ahead = time.time(), time.monotonic(), 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.started + time.monotonic() - self._began

    async def watch(self) -> None:
        """Say in the journal when the server's clock was set since the last look."""
        ahead = time.time() - self.now()
        if abs(ahead - self._ahead) > _JUMP_SECONDS:
            log.warning("the server's clock was set by %+.0f s", ahead - self._ahead)
            self._ahead = ahead
