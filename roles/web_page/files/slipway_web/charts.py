# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts as numbers: what stands where on a field of SVG. Templates draw it, and no script does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEIGHT = 100.0
# What each outcome of a machine's night is coloured like, from the bottom up.
_GOOD = ("done",)
_BAD = ("failed", "no_answer", "not_reached")
_TO_COME = ("at_work", "waits")


@dataclass(frozen=True)
class Part:
    """A piece of a column, from the top of the field."""

    look: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """One place on a chart; ``title`` says in words what it shows."""

    x: int
    title: str
    parts: tuple[Part, ...]


def nights(windows: Sequence[Mapping[str, object]], most: int) -> list[Column]:
    """The last windows of a schedule as blocks, the newest on the right."""
    shown = windows[-most:]
    return [_night(most - len(shown) + place, each) for place, each in enumerate(shown)]


def _night(x: int, window: Mapping[str, object]) -> Column:
    counts = window["counts"]
    assert isinstance(counts, Mapping)
    key, total = str(window["key"]), sum(counts.values())
    if window["missed"] or not total:
        said = "the server was down" if window["missed"] else "nobody was due"
        look = "missed" if window["missed"] else "secondary"
        return Column(x, f"{key}: {said}", (Part(look, 0.0, HEIGHT),))
    by_look: dict[str, int] = {"green": 0, "yellow": 0, "red": 0, "secondary": 0}
    for outcome, count in counts.items():
        by_look[_look_of(outcome)] += count
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return Column(x, f"{key}: {said}", _stacked(by_look, total))


def _look_of(outcome: str) -> str:
    if outcome in _GOOD:
        return "green"
    if outcome in _BAD:
        return "red"
    return "secondary" if outcome in _TO_COME else "yellow"


def _stacked(by_look: Mapping[str, int], total: int) -> tuple[Part, ...]:
    """From the bottom up; the smallest is still seen."""
    found, bottom = [], HEIGHT
    shares = {look: max(6.0, HEIGHT * count / total) for look, count in by_look.items() if count}
    scale = HEIGHT / sum(shares.values())
    for look, share in shares.items():
        height = round(share * scale, 2)
        bottom = round(bottom - height, 2)
        found.append(Part(look, max(0.0, bottom), height))
    return tuple(found)


def columns(values: Sequence[tuple[float, str]], look: str = "azure") -> list[Column]:
    """Amounts beside each other, each with its words."""
    most = max((value for value, _ in values), default=0.0) or 1.0
    return [
        Column(place, title, (_part(look, value / most),))
        for place, (value, title) in enumerate(values)
    ]


def _part(look: str, share: float) -> Part:
    height = round(max(1.0 if share else 0.0, HEIGHT * share), 2)
    return Part(look, round(HEIGHT - height, 2), height)


@dataclass(frozen=True)
class Curve:
    """An amount over time: the line, and the area below it, as `points` of SVG."""

    line: str
    area: str


def curve(points: Sequence[tuple[float, float]], width: float, most: float) -> Curve:
    """Points are a place from 0 to ``width`` and an amount from 0 to ``most``."""
    if not points or most <= 0:
        return Curve("", "")
    spots = [
        (round(x, 2), round(HEIGHT * (1 - min(1.0, max(0.0, y / most))), 2)) for x, y in points
    ]
    if len(spots) == 1:
        # A day alone is a line as wide as a day.
        x, y = spots[0]
        spots = [(max(0.0, x - 1), y), (x, y)]
    line = " ".join(f"{x},{y}" for x, y in spots)
    return Curve(line, f"{spots[0][0]},{HEIGHT} {line} {spots[-1][0]},{HEIGHT}")
