# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about chunks and images look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from ...images.media import Media
from .common import Digest, Strict

MAX_QUERY = 4096


class Problem(BaseModel):
    """Something wrong with an image."""

    digest: str | None = Field(description="the chunk; null if it is the manifest itself")
    problem: str


class ImageCheck(BaseModel):
    """The read-through of a version."""

    state: Literal["running", "sound", "broken"]
    bytes_done: int
    bytes_total: int
    problems: list[Problem] = Field(description="the first 100")
    problem_count: int


class OrderedCheck(ImageCheck):
    """A read-through that somebody ordered."""

    state: Literal["running", "sound", "broken", "cut off"] = Field(  # type: ignore[assignment]
        description="cut off: the service was ended meanwhile"
    )
    by: str
    began: str
    ended: str | None


class LastCheck(BaseModel):
    """The one that is under way, or else the last; null: none was ordered."""

    check: OrderedCheck | None


class Chunks(Strict):
    """Chunks that somebody asks about."""

    digests: Annotated[list[Digest], Field(max_length=MAX_QUERY)]


class SoundChunk(BaseModel):
    """A chunk's file when it was proven."""

    digest: str
    content_size: int
    size: int
    mtime_ns: int
    ino: int


class SoundChunks(BaseModel):
    """Those that were proven lately."""

    sound: list[SoundChunk]


class Query(Chunks):
    """Which of these chunks are missing?"""

    proofs: (
        Annotated[
            list[Annotated[str, Field(min_length=32, max_length=32, pattern="^[0-9a-f]{32}$")]],
            Field(max_length=MAX_QUERY),
        ]
        | None
    ) = Field(
        default=None,
        description="for each digest, in order, the proof that its content is there: PROTOCOL.md",
    )

    @model_validator(mode="after")
    def _paired(self) -> Query:
        if self.proofs is not None and len(self.proofs) != len(self.digests):
            raise ValueError("proofs: there must be one for each digest")
        return self


class Missing(BaseModel):
    """Those that have to be sent."""

    missing: list[str]


class Kept(BaseModel):
    """A chunk that the store has."""

    digest: str
    new: bool


class Published(BaseModel):
    """A version that exists."""

    name: str
    version: str
    warning: str | None = Field(
        default=None, description="why the version says another time than the server's"
    )


class DiskSummary(BaseModel):
    """A disk of a version."""

    id: str
    size: int
    bytes: int
    model: str
    serial: str


class VersionSummary(BaseModel):
    """A version in a list."""

    version: str
    created: str
    bytes: int = Field(description="bytes of the disks that the version holds")
    stored: int = Field(description="bytes of its chunk files, each once")
    unreadable: int = Field(description="bytes that the source disks could not read: zeros here")
    degraded: bool = Field(description="whether there are any; restored only when told to")
    machine: str
    agent_version: str
    disks: list[DiskSummary]
    problem: str | None
    ahead: bool = Field(description="whether it says a time to come: a clock was wrong")


class Image(BaseModel):
    """An image, newest version first."""

    name: str
    versions: list[VersionSummary]


class ImageList(BaseModel):
    """Images with their versions."""

    images: list[Image]


class KeptVersion(VersionSummary):
    """A version as the administrator sees it."""

    good: bool = Field(description="readable, not degraded, and no chunk known to be lacking")
    lacking: int = Field(description="chunks that are missing or bad, as far as is known")
    own: int | None = Field(
        description="bytes of chunk files that no other version names, by the last collection"
    )
    checked: str | None = Field(description="since then every chunk was read and found sound")
    note: str
    held: list[str]
    kept_because: list[str] = Field(description="empty: it goes with the next prune")
    goes_when: str | None = Field(
        description="the first day without a reason if each day brings a good version; null: never"
    )


class ListedVersion(KeptVersion):
    """A version in the list of images."""

    media: list[Media] = Field(description="discs and sticks that were made of it, by name")


class KeptImage(BaseModel):
    """An image as the administrator sees it, newest version first."""

    name: str
    note: str
    versions: list[ListedVersion]
    yours: bool = Field(default=True, description="whether who asks may change it")


class AliasView(BaseModel):
    """A name that stands for a version, or for the newest of an image."""

    alias: str
    image: str
    fixed: bool = Field(description="whether the inventory says so")


class KeptImages(BaseModel):
    """All images, and the aliases."""

    images: list[KeptImage]
    aliases: list[AliasView]


class Reading(BaseModel):
    """How many versions are read since the service began, and of how many."""

    done: int
    total: int


class NewestVersion(BaseModel):
    """The newest version of an image."""

    version: str
    created: str
    bytes: int = Field(description="bytes of the disks that it holds")
    good: bool
    degraded: bool


class ImageRow(BaseModel):
    """An image in a list that is shown in parts."""

    name: str
    note: str
    versions: int
    newest: NewestVersion
    stored: int = Field(description="bytes of chunk files, those of several versions as often")
    aliases: list[AliasView]


class ImageRows(BaseModel):
    """A page of images, or all of them."""

    images: list[ImageRow]
    found: int = Field(description="how many the filter finds")
    total: int
    page: int
    pages: int
    reading: Reading | None = Field(
        description="images that are not read yet are left out; null: all are read"
    )


class ReadImages(KeptImages):
    """The images whose manifests are read, and the aliases."""

    reading: Reading | None = Field(description="null: all are read")
