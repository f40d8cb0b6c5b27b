# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a PC in the imaging environment follows the image server's."""

from __future__ import annotations

import time
from collections.abc import Callable

# The server's answer says whole seconds, and was under way for a moment.
_CLOSE = 2.0


def follow(
    now: float,
    say: Callable[[str], None],
    read: Callable[[], float] = time.time,
    write: Callable[[float], None] = lambda now: time.clock_settime(time.CLOCK_REALTIME, now),
) -> None:
    """Set the system's clock to `now`, seconds since 1970, when it is off by more than that.

    Only the system's: the PC's own clock, which its battery keeps, is the owner's. Nothing that
    waits is disturbed, since durations are measured by the monotonic clock.
    """
    off = read() - now
    if abs(off) <= _CLOSE:
        return
    try:
        write(now)
    except OSError as error:
        say(f"the clock is {_words(off)}, and can't be set: {error.strerror}")
        return
    say(f"the clock was {_words(off)} and is set to the server's; the PC's battery clock is kept")


def _words(off: float) -> str:
    minutes, seconds = divmod(round(abs(off)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    amounts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    said = [f"{amount} {unit}" for amount, unit in amounts if amount][:2]
    return f"{' '.join(said)} {'ahead' if off > 0 else 'behind'}"
