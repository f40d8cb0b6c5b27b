# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about versions of other sites look like."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from ...base.names import MAX_TEXT
from .common import Digest, Strict
from .images import MAX_QUERY

SiteName = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$")]


class Taken(BaseModel):
    """Versions of an image that need not come."""

    versions: list[str]


class Digests(Strict):
    """Chunks of a version that comes."""

    digests: Annotated[list[Digest], Field(max_length=MAX_QUERY)]


class Adopted(BaseModel):
    """The version that is here now."""

    name: str
    version: str


class Replication(Strict):
    """How pulling from one site went."""

    problem: Annotated[str, Field(max_length=MAX_TEXT)] | None
    copied: Annotated[int, Field(ge=0, description="versions that came this time")]


class Replications(Strict):
    """All sites that are pulled from."""

    sites: Annotated[dict[SiteName, Replication], Field(max_length=100)]
