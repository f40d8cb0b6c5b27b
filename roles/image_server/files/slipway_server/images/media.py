# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restore media were made of which version: the builder's records, one of each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, NonNegativeInt, TypeAdapter

from ..base import documents

FILE = "media.json"
# The folder of what the builder answers to orders, beside the sets.
OUTCOMES = ".outcomes"

_Word = Annotated[str, Field(max_length=200, pattern="^[ -~]*$")]
_FileName = Annotated[str, Field(max_length=100, pattern="^[a-z0-9][a-z0-9.-]*$")]


class Disc(BaseModel):
    """One file of a set, in its order."""

    file: _FileName
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


class Outcome(BaseModel):
    """How it went. ``problem``: why nothing was made; None: it was."""

    id: _Word
    at: _Word
    problem: Annotated[str, Field(max_length=5000)] | None


_MEDIA, _OUTCOME = TypeAdapter(Media), TypeAdapter(Outcome)
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
            if made.name == path.parent.name and _whole(path.parent, made):
                found.append(made)
        return found

    def outcome(self, name: str) -> dict[str, Any]:
        """What the builder answered last to an order for that set: ``id``, ``at``, ``problem``."""
        try:
            found = documents.read(_OUTCOME, self._folder / OUTCOMES / f"{name}.json")
        except documents.DocumentError:
            return {}
        return found.model_dump()

    def by_version(self) -> Made:
        """The sets of each version, by the image's name and the version."""
        found: dict[tuple[str, str], list[Media]] = {}
        for each in self.all():
            found.setdefault((each.image, each.version), []).append(each)
        return found


def _whole(folder: Path, made: Media) -> bool:
    """Whether its files are there, as long as they were."""
    try:
        return all((folder / each.file).stat().st_size == each.bytes for each in made.discs)
    except OSError:
        return False
