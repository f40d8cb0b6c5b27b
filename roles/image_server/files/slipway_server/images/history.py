# SPDX-License-Identifier: GPL-3.0-or-later
"""How things were: the store's room day by day, and how long each backup took."""

from __future__ import annotations

import logging
import sqlite3
from datetime import date, timedelta
from typing import Any

from ..base.rows import Rows
from .store import Room

log = logging.getLogger(__name__)

DAYS = 90
# Of one machine; what an older one took tells nothing.
BACKUPS = 60
_ROOM, _BACKUP = "room/", "backup/"


class History:
    """In memory, and on disk. Belongs to the event loop."""

    def __init__(self, rows: Rows) -> None:
        """Load everything."""
        self._rows = rows
        self._known = rows.load()

    def room(self) -> list[dict[str, Any]]:
        """Bytes of each day, oldest first; a day on which the service was down is not there."""
        days = sorted(key for key in self._known if key.startswith(_ROOM))
        return [{"day": key.removeprefix(_ROOM)} | self._known[key] for key in days]

    async def note_room(self, today: date, room: Room) -> None:
        """Keep how it is; of a day its last is kept."""
        key, oldest = f"{_ROOM}{today}", f"{_ROOM}{today - timedelta(days=DAYS - 1)}"
        body = {"used": room.total - room.free, "total": room.total}
        old = [each for each in self._known if each.startswith(_ROOM) and each < oldest]
        await self._keep(key, body, old)

    def backups(self, machine: str) -> list[dict[str, Any]]:
        """How long each backup of a machine took, oldest first."""
        return [self._known[key] for key in self._of(machine)]

    async def note_backup(self, machine: str, image: str, version: str, seconds: float) -> None:
        """Keep how long one took, from its machine's arrival to the version."""
        body = {"image": image, "version": version, "seconds": round(max(0.0, seconds), 1)}
        old = self._of(machine)[: -(BACKUPS - 1)]
        await self._keep(f"{_BACKUP}{machine}/{version}", body, old)

    def _of(self, machine: str) -> list[str]:
        return sorted(key for key in self._known if key.startswith(f"{_BACKUP}{machine}/"))

    async def _keep(self, key: str, body: dict[str, Any], old: list[str]) -> None:
        self._known[key] = body
        for each in old:
            self._known.pop(each, None)
        try:
            await self._rows.put(key, body, drop=old)
        except sqlite3.Error as error:
            # A full disk costs a point of a chart, and neither the start nor a backup.
            log.warning("not kept for the charts: %s", error)
