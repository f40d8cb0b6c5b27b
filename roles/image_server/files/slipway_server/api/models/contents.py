# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers about what a version holds look like. Numbers are bytes."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Partition(BaseModel):
    """A partition; on a disk without a table, its content."""

    id: str = Field(description="disk0:1, or disk0:disk where there is no table")
    type: str = Field(description="of the partition table, as sfdisk says it")
    name: str = Field(description="its file system's label, or what the table calls it")
    content: str = Field(description="its file system, or what else it holds")
    method: str = Field(description="used, swap, or whole")
    size: int
    used: int = Field(description="what of it the version holds")
    stored: int | None = Field(
        description="of its chunk files, each once; null: there are too many to count"
    )
    unreadable: int


class DiskContents(BaseModel):
    """A disk with its partitions."""

    id: str
    table: str = Field(description="gpt, dos or none")
    model: str
    serial: str
    size: int
    used: int
    partitions: list[Partition]


class Naming(BaseModel):
    """A menu, an alias, an order, a job, a session or a schedule."""

    by: str
    exactly: bool = Field(
        description="whether it names this version; else its image, whose newest it may mean"
    )


class Contents(BaseModel):
    """What a version holds."""

    disks: list[DiskContents]
    named: list[Naming]
