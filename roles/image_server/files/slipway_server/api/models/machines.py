# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page is told of machines."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from .images import Reading


class SavedView(BaseModel):
    """The newest good version of a machine."""

    image: str
    version: str
    created: str


class LastJob(BaseModel):
    """A machine's last job."""

    id: str
    verb: str
    state: str
    outcome: str | None


class MachineView(BaseModel):
    """A machine in a list."""

    name: str
    macs: list[str]
    groups: list[str] = Field(description="of the inventory")
    address: str | None = Field(description="that the inventory fixed")
    saved: SavedView | None
    job: LastJob | None
    session: str | None = Field(description="the open one")
    heard: str | None = Field(description="when its last session was heard of")
    model: str = Field(description="in the PC's own words")


class MachineList(BaseModel):
    """A page of machines, or all of them."""

    machines: list[MachineView]
    found: int = Field(description="how many the filter finds")
    total: int
    page: int
    pages: int
    groups: list[str] = Field(description="all groups that there are, whatever is asked for")
    reading: Reading | None = Field(
        description="versions that are not read yet count as none; null: all are read"
    )


class ItemView(BaseModel):
    """An item of a machine's menu."""

    id: str
    title: str
    action: str
    image: str | None


class MachineDetails(MachineView):
    """All that is known of a machine."""

    hardware: dict[str, Any] = Field(description="in the PC's own words; empty: not lately")
    uuid: str | None
    serial: str | None
    confirmed: bool
    items: list[ItemView]
    others: list[str] = Field(description="ids of items that its boot loader starts by itself")
    armed: str | None = Field(description="the item that its next boot leads into")
