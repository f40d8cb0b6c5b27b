# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore media were made of which version: the builder's records, one of each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, NonNegativeInt, TypeAdapter

from ..base import documents

FILE = "media.json"

_Word = Annotated[str, Field(max_length=200, pattern="^[ -~]*$")]


class Disc(BaseModel):
    """One file of a set, in its order."""

    file: _Word
    bytes: NonNegativeInt


class Media(BaseModel):
    """A set of media as the builder notes it: one file for each disc."""

    name: _Word
    image: _Word
    version: _Word
    medium: _Word = Field(description="cd, dvd, dvd-dl, bd, bd-dl, usb or a number of bytes")
    unattended: bool = Field(description="whether they write without a question")
    bytes: NonNegativeInt = Field(description="of all discs")
    discs: list[Disc]
    made: _Word
    shim: _Word = Field(description="the version of what starts them where Secure Boot is on")


_MEDIA = TypeAdapter(Media)
Made = Mapping[tuple[str, str], Sequence[Media]]


class MediaFolder:
    """All methods block; callers run them in a thread."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of the builder, with a folder for each set."""
        self._folder = folder

    def all(self) -> list[Media]:
        """Every set, by name. What is half made, or no record, is none."""
        found = []
        for path in sorted(self._folder.glob(f"[a-z0-9]*/{FILE}")):
            try:
                made = documents.read(_MEDIA, path)
            except documents.DocumentError:
                continue
            if made.name == path.parent.name:
                found.append(made)
        return found

    def by_version(self) -> Made:
        """The sets of each version, by the image's name and the version."""
        found: dict[tuple[str, str], list[Media]] = {}
        for each in self.all():
            found.setdefault((each.image, each.version), []).append(each)
        return found
