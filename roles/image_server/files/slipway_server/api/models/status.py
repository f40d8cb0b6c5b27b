# SPDX-License-Identifier: GPL-3.0-or-later
"""How the service says that it is."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Status(BaseModel):
    """How the service is."""

    version: str
    started: str
    sessions: dict[str, int] = Field(description="number of sessions by state")
    images: int
    store_free: int
    store_total: int
    store_reserve: int
    warnings: list[str] = Field(description="what the administrator should see to soon")
