# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts and times as people read them, the same on a PC's screen and in the server's words."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Bytes in powers of 1000, three digits: `1.46 GB`."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"


def clock(seconds: float | None) -> str:
    """Time left or taken: `1:05:09`, `4:07`, `?` when it is not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
