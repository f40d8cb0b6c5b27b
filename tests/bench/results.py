# SPDX-License-Identifier: GPL-3.0-or-later
"""Medians, the table for people, what was wanted, and the one line for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median

from .tools import Cost

TOOLS = ("slipway", "before", "clonezilla", "fog3", "fog6", "pipe", "floor", "read")
# Beside them in the table: what media are compared with, media of a store whose service remembers
# what it proved, and of one without a memory.
_OTHERS = ("served", "proving", "copy")
CASES = ("first", "unchanged", "changed", "twin", "restore", "restore_changed", "service", "media")


class Results:
    """What every run took."""

    def __init__(self) -> None:
        """Nothing measured yet."""
        self._runs: dict[str, dict[str, list[Cost]]] = {}

    def add(self, case: str, tool: str, cost: Cost) -> None:
        self._runs.setdefault(case, {}).setdefault(tool, []).append(cost)

    def seconds(self, case: str, tool: str) -> float | None:
        runs = self._runs.get(case, {}).get(tool)
        return median(run.seconds for run in runs) if runs else None

    def size(self, case: str, tool: str) -> int:
        return int(median(run.bytes for run in self._runs[case][tool]))

    def line(self) -> str:
        """`{CASE: {TOOL: {"seconds": median, "bytes": stored}}}`."""
        return json.dumps(
            {
                case: {
                    tool: {
                        "seconds": round(self.seconds(case, tool) or 0, 3),
                        "bytes": self.size(case, tool),
                    }
                    for tool in TOOLS + _OTHERS
                    if tool in self._runs[case]
                }
                for case in CASES
                if case in self._runs
            }
        )

    def table(self) -> Iterator[str]:
        yield (
            f"{'case':15} {'tool':10} {'median':>9} {'min':>7} {'max':>7} {'processor':>10}"
            f" {'stored':>10}  slipway is"
        )
        for case in (case for case in CASES if case in self._runs):
            for tool in (tool for tool in TOOLS + _OTHERS if tool in self._runs[case]):
                yield self._row(case, tool)

    def _row(self, case: str, tool: str) -> str:
        times = [run.seconds for run in self._runs[case][tool]]
        own = self.seconds(case, "slipway")
        beside = f"{median(times) / own:.2f} times as fast" if own and tool != "slipway" else ""
        return (
            f"{case:15} {tool:10} {median(times):7.2f} s {min(times):7.2f} {max(times):7.2f} "
            f"{median(run.cpu for run in self._runs[case][tool]):8.2f} s "
            f"{self.size(case, tool) / 1e6:7.1f} MB  {beside}"
        ).rstrip()

    def wanted(self) -> Iterator[str]:
        """How far every goal is met, as far as its case was run."""
        for text, case, tool, other, goal in _SPEED:
            ours, theirs = self.seconds(case, tool), self.seconds(*other)
            if ours and theirs:
                yield _judged(text, theirs / ours, goal, theirs / ours >= goal)
        for text, case, other, limit in _SIZE:
            if case in self._runs and "clonezilla" in self._runs.get(other[0], {}):
                share = self.size(case, "slipway") / self.size(*other)
                yield _judged(text, share, limit, share <= limit)


def _judged(text: str, value: float, goal: float, met: bool) -> str:
    return f"{'met  ' if met else 'short'} {text}: {value:.3f} (wanted {goal:g})"


# What, our case and tool, the case and tool to beat, and how many times.
_SPEED = (
    ("first backup against Clonezilla", "first", "slipway", ("first", "clonezilla"), 2.0),
    ("first backup against FOG at level 3", "first", "slipway", ("first", "fog3"), 1.6),
    ("first backup against the fastest pipe", "first", "slipway", ("first", "pipe"), 1.0),
    ("first backup against the floor", "first", "slipway", ("first", "floor"), 0.8),
    ("unchanged disk against Clonezilla", "unchanged", "slipway", ("unchanged", "clonezilla"), 8.0),
    ("restore against Clonezilla", "restore", "slipway", ("restore", "clonezilla"), 2.5),
    ("restore against FOG at level 3", "restore", "slipway", ("restore", "fog3"), 1.3),
    ("restore against the fastest pipe", "restore", "slipway", ("restore", "pipe"), 1.0),
    (
        "restore over 5 % against our own restore",
        "restore_changed",
        "slipway",
        ("restore", "slipway"),
        3.0,
    ),
    (
        "service against Clonezilla through curl",
        "service",
        "slipway",
        ("service", "clonezilla"),
        1.2,
    ),
    ("media against a durable copy", "media", "slipway", ("media", "copy"), 1 / 1.5),
)
# What, our case, the case and tool to compare with, and the largest share of its bytes.
_SIZE = (
    ("stored bytes of the first backup against Clonezilla", "first", ("first", "clonezilla"), 1.02),
    ("stored bytes of an unchanged disk", "unchanged", ("first", "slipway"), 0.005),
    ("stored bytes of the twin", "twin", ("first", "slipway"), 0.03),
)
