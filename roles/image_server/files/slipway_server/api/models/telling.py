# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process that tells people asks, and is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from ...base.names import ACCOUNT_PATTERN
from .common import Strict

Sink = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$")]


class Sinks(Strict):
    """Everybody who is told."""

    sinks: Annotated[list[Sink], Field(max_length=100)]


class EventView(BaseModel):
    """One thing to tell."""

    number: int
    at: str
    kind: str
    subject: str
    lines: list[str]
    quiet: bool = Field(description="a sign of life that no person wants to read")


class EventList(BaseModel):
    """What a sink is still to be told, oldest first; not always all of it."""

    server: str
    events: list[EventView]


class Guessing(Strict):
    """Whose sign-ins are slowed."""

    account: Annotated[str, Field(pattern=f"^{ACCOUNT_PATTERN}$")] | None = Field(
        description="one of the page's; null: all from the address"
    )
    address: Annotated[str, Field(pattern="^[0-9a-f.:]{1,45}$")]


class Outcome(Strict):
    """How telling went."""

    number: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="the event that was told; those before it were, too"
    )
    problem: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="why the sink can't be told now"
    )
