# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows and how each machine's night ended: in memory, and on disk before anything follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..base.rows import Rows
from ..base.state_file import Change, StateFile
from .schedules import SERVED, Night
from .windows import Window

# So many windows of a schedule are kept.
KEPT = 35
_SEP = "/"


@dataclass
class Record:
    """One window of one schedule, and who was due in it."""

    schedule: str
    window: Window
    verb: str
    # The account that asked for it; empty: it was planned.
    by: str = ""
    closed_at: float | None = None
    # Whether the service was down all of it.
    missed: bool = False
    nights: dict[str, Night] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether somebody's outcome may still come."""
        return self.closed_at is None

    @property
    def key(self) -> str:
        """Its name on disk."""
        return f"{self.schedule}{_SEP}{self.window.key}"


@dataclass(frozen=True)
class Standing:
    """Where a schedule stands. Times are seconds since the epoch."""

    # Since when its windows are as they are, by that digest: none before is missed.
    since: float
    digest: str
    # Nothing is ordered until then.
    paused_until: float | None = None
    # Nothing is ordered in the window of that key.
    skipped: str | None = None
    # When machines were last served, of windows that are forgotten.
    served: dict[str, float] = field(default_factory=dict)


class NightBook:
    """Belongs to the event loop."""

    def __init__(self, state: StateFile) -> None:
        """Load everything."""
        self._state = state
        self._standings = Rows(state, "schedules")
        self._windows = Rows(state, "windows")
        self._nights = Rows(state, "nights")
        self.standings = {name: Standing(**body) for name, body in self._standings.load().items()}
        self._records: dict[str, dict[str, Record]] = {}
        for key, body in self._windows.load().items():
            name, _, which = key.partition(_SEP)
            window = Window(which, body.pop("begins"), body.pop("ends"))
            self._records.setdefault(name, {})[which] = Record(name, window, **body)
        for key, body in self._nights.load().items():
            name, which, machine = key.split(_SEP)
            if (record := self.get(name, which)) is not None:
                record.nights[machine] = Night(machine, **body)

    def names(self) -> list[str]:
        """The schedules of which something is known."""
        return sorted(self._records.keys() | self.standings.keys())

    def get(self, name: str, key: str) -> Record | None:
        """A window of a schedule."""
        return self._records.get(name, {}).get(key)

    def records(self, name: str) -> list[Record]:
        """All windows of a schedule that are kept, oldest first."""
        found = self._records.get(name, {}).values()
        return sorted(found, key=lambda each: (each.window.begins, each.window.key))

    def served_at(self, name: str, machine: str) -> float | None:
        """When a machine was last served by a schedule."""
        found = [
            night.ended_at
            for record in self._records.get(name, {}).values()
            if (night := record.nights.get(machine)) and night.outcome in SERVED
            if night.ended_at is not None
        ]
        standing = self.standings.get(name)
        if standing is not None and machine in standing.served:
            found.append(standing.served[machine])
        return max(found, default=None)

    async def stand(self, name: str, standing: Standing) -> None:
        """Keep where a schedule stands."""
        self.standings[name] = standing
        await self._state.write(self._standing(name, standing))

    async def keep(self, record: Record, nights: Iterable[Night] = ()) -> None:
        """Keep a window, and what has become of these machines in it."""
        changed = list(nights)
        self._records.setdefault(record.schedule, {})[record.window.key] = record
        record.nights.update((night.machine, night) for night in changed)
        body = {
            "begins": record.window.begins,
            "ends": record.window.ends,
            "verb": record.verb,
            "by": record.by,
            "closed_at": record.closed_at,
            "missed": record.missed,
        }
        await self._state.write(
            self._windows.change(record.key, body),
            *(self._nights.change(f"{record.key}{_SEP}{each.machine}", _body(each))
              for each in changed),
        )  # fmt: skip

    async def forget(self, name: str, now: float) -> None:
        """Drop windows that are too many; when machines were served is kept."""
        known = [each for each in self.records(name) if not each.open]
        # What was missed in a time to come was missed while the clock was wrong.
        old = [each for each in known if each.missed and each.window.begins > now]
        old += [each for each in known if each not in old][: -KEPT or None]
        if not old:
            return
        standing = self.standings.get(name)
        changes: list[Change] = []
        if standing is not None and old[0].verb != "backup":
            served = dict(standing.served)
            for record in old:
                for night in record.nights.values():
                    if night.outcome in SERVED and night.ended_at is not None:
                        last = served.get(night.machine, night.ended_at)
                        served[night.machine] = max(last, night.ended_at)
            standing = dataclasses.replace(standing, served=served)
            self.standings[name] = standing
            changes.append(self._standing(name, standing))
        for record in old:
            del self._records[name][record.window.key]
        gone = [(record.key,) for record in old]
        within = [(f"{key}{_SEP}", f"{key}{chr(ord(_SEP) + 1)}") for (key,) in gone]
        changes.append(("DELETE FROM windows WHERE key = ?", gone))
        changes.append(("DELETE FROM nights WHERE key >= ? AND key < ?", within))
        await self._state.write(*changes)

    async def drop(self, name: str) -> None:
        """Forget a schedule that is no longer planned, but not its windows."""
        if self.standings.pop(name, None) is not None:
            await self._standings.drop([name])

    def _standing(self, name: str, standing: Standing) -> Change:
        return self._standings.change(name, dataclasses.asdict(standing))


def _body(night: Night) -> dict[str, Any]:
    body = dataclasses.asdict(night)
    del body["machine"]
    return body
