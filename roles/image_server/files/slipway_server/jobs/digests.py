# SPDX-License-Identifier: GPL-3.0-or-later
"""How a window went, for people: counts first, then who is to be seen to, and how. Pure."""

from __future__ import annotations

import re
from collections import Counter

from ..base.outbox import Event
from .job import plain
from .night_book import Record
from .schedules import OUTCOMES, Night

_NAMED = 40
_GOOD = "done"
_ITS_JOB = re.compile(r"\bjob=[0-9a-f]{16}\b")


def digest(record: Record) -> Event:
    """One window of a schedule, when it is over."""
    what = f"{record.schedule}, {record.window.key}"
    nights = record.nights.values()
    counts = Counter(each.outcome or "failed" for each in nights)
    said = ", ".join(f"{counts[each]} {each}" for each in OUTCOMES if counts[each])
    if record.missed:
        return Event("window_done", f"{what}: the server was down, {said or 'nobody was due'}",
                     tuple(_remarks(record)))  # fmt: skip
    if not counts:
        return Event("window_done", f"{what}: nobody was due", quiet=True)
    return Event("window_done", f"{what}: {said}", tuple(_remarks(record)))


def _remarks(record: Record) -> list[str]:
    """Those who are not done, together where it is for one reason."""
    groups: dict[tuple[str, str], list[Night]] = {}
    for night in sorted(record.nights.values(), key=lambda each: each.machine):
        outcome = night.outcome or "failed"
        if outcome != _GOOD:
            groups.setdefault((outcome, _what_to_do(night)), []).append(night)
    lines = []
    for (outcome, _), nights in sorted(groups.items(), key=lambda each: OUTCOMES.index(each[0][0])):
        lines.append(f"{outcome}: {_named([each.machine for each in nights])}")
        texts = (nights[0].message, nights[0].remedy)
        lines += [f"    {plain(text)}" for text in texts if text]
    return lines


def _what_to_do(night: Night) -> str:
    """What those have in common who need the same: neither machine, nor disk, nor job.

    A playbook's last message says what happened, in words of that PC, and then the remedy.
    """
    _, found, remedy = night.message.partition("Remedy: ")
    text = remedy if found else night.remedy or night.message
    return _ITS_JOB.sub("JOB", re.sub(rf"\b{re.escape(night.machine)}\b", "MACHINE", text))


def _named(machines: list[str]) -> str:
    """Some names, and how many there are more."""
    more = len(machines) - _NAMED
    return ", ".join(machines[:_NAMED]) + (f" and {more} more" if more > 0 else "")
