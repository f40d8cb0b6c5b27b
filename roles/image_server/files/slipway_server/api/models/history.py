# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers about how things were look like."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RoomDay(BaseModel):
    """A day on which the service ran."""

    day: str = Field(description="of the server's time zone")
    used: int = Field(description="bytes, of whatever is on the store's file system")
    total: int


class RoomDays(BaseModel):
    """The last 90 days, oldest first."""

    days: list[RoomDay]


class Backup(BaseModel):
    """One backup, from its machine's arrival to the version."""

    image: str
    version: str
    seconds: float


class Backups(BaseModel):
    """The last 60 of a machine, oldest first."""

    backups: list[Backup]
