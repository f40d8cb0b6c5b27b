# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers about strangers look like."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class StrangerView(BaseModel):
    """Who asked from an address that is not the machine's, and got nothing."""

    address: str
    why: str = Field(description="what the server knows of that address")
    requests: int
    first: str
    last: str


class Stranger(StrangerView):
    """One of them, with what it asked for."""

    kind: Literal["session", "next_boot", "choice", "registration"]
    id: str = Field(description="of the session or the order")
    machine: str


class StrangerList(BaseModel):
    """Since the service was started, at most eight addresses of each session, order or machine."""

    strangers: list[Stranger]
