# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, times and states for people."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"))
# What a state is coloured like; the word itself always stands there.
_COLOURS = {
    "done": "green", "ready": "green", "sound": "green", "good": "green", "approved": "green",
    "checked_in": "azure",
    "running": "azure", "queued": "azure", "requested": "azure", "waiting": "yellow",
    "degraded": "yellow", "abandoned": "yellow", "warning": "yellow", "old": "yellow",
    "was_on": "yellow", "postponed": "yellow", "no_answer": "red", "not_reached": "red",
    "cut off": "yellow",
    "failed": "red", "broken": "red", "expired": "red", "missed": "red",
}  # fmt: skip


def size(count: Any) -> str:
    """Bytes in powers of 1000, three digits: `1.46 GB`, as everywhere in the project."""
    value = number(count)
    for unit in _UNITS[:-1]:
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} {_UNITS[-1]}"


def number(value: Any) -> float:
    """An amount that a PC has said, 0 when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    # NaN and the infinities fail this comparison too.
    return float(value) if 0 <= value < 2**63 else 0.0


def seconds_of(said: Any) -> float | None:
    """Seconds since the epoch, of a time in ISO form or of such seconds; None: it is neither."""
    if isinstance(said, int | float) and not isinstance(said, bool):
        return float(said) if 0 <= said < 1e11 else None
    try:
        made = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()


def moment(said: Any) -> str:
    """A time in the server's zone, to the minute."""
    seconds = seconds_of(said)
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def age(said: Any) -> str:
    """How long ago: `40 days ago`."""
    seconds = seconds_of(said)
    if seconds is None:
        return ""
    since = time.time() - seconds
    for length, name in _SPANS:
        if since >= length:
            count = int(since // length)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now" if since > -60 else "to come"


def span(seconds: Any) -> str:
    """How long something takes: `4 min 10 s`, `2 h 5 min`."""
    whole = int(number(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def colour(state: Any) -> str:
    """What a state is shown like."""
    return _COLOURS.get(str(state), "secondary")


def plain(value: Any) -> Any:
    """Text without what turns a line around or acts on whoever copies it."""
    if type(value) is not str or value.isprintable():
        return value
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in value)
