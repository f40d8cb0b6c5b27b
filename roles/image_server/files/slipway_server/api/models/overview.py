# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page is told of all machines and images at once."""

from __future__ import annotations

from pydantic import BaseModel, Field

from .images import Reading
from .jobs import JobView


class OldMachine(BaseModel):
    """A machine that was not saved lately."""

    name: str
    saved: str | None = Field(description="when its newest good version was made")


class BrokenVersion(BaseModel):
    """A version that can't be restored as it is."""

    image: str
    version: str
    problem: str | None
    lacking: int = Field(description="chunks that are missing or bad")


class Overview(BaseModel):
    """Numbers, and of each kind of what needs somebody the first ones."""

    machines: int
    images: int
    versions: int
    old_days: int
    old: int = Field(description="machines without a good version of the last so many days")
    oldest: list[OldMachine] = Field(description="of these, the oldest first")
    failed: list[JobView] = Field(description="jobs that failed within a day, the newest first")
    broken: list[BrokenVersion]
    runner: bool = Field(description="whether the job runner asks for work")
    reading: Reading | None = Field(
        description="versions that are not read yet count as none; null: all are read"
    )
