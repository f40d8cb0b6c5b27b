# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about the care of images look like: labels, trash, policy, upkeep."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from slipway.format.names import parse_image_ref

from ...images.policy import Note
from .common import ImageName, Strict, Version
from .images import AliasView, KeptVersion, Reading

MAX_POLICY = 16 << 20


def _reference(text: str) -> str:
    return str(parse_image_ref(text))


ImageReference = Annotated[str, Field(max_length=100), AfterValidator(_reference)]


class LabelRequest(Strict):
    """Note something of an image or a version, hold a version; null: as it is."""

    version: Version | None = None
    note: Note | None = None
    hold: bool | None = None
    reason: Note = ""


class LabelView(BaseModel):
    """What is said of an image or a version now."""

    image: str
    note: str
    held: list[str] = Field(description="who holds the version, in words")


class CopyRequest(Strict):
    """Another name for a version, or for the image."""

    version: Version | None = None
    to: ImageName


class Versions(BaseModel):
    """The versions of an image that something was done with."""

    name: str
    versions: list[str]


class AliasRequest(Strict):
    """What an alias stands for."""

    image: ImageReference


class AliasList(BaseModel):
    """All aliases."""

    aliases: list[AliasView]


class TrashedView(BaseModel):
    """A version in the trash."""

    name: str
    version: str
    at: str = Field(description="when it was deleted")
    by: str
    why: str
    goes: str = Field(description="when it is removed for good, at the earliest")


class TrashList(BaseModel):
    """The trash."""

    trash: list[TrashedView]


class TrashRequest(Strict):
    """Which of the trash; without a version, all of the image."""

    name: ImageName
    version: Version | None = None


class EmptyRequest(Strict):
    """Which of the trash is removed for good; without a name, all of it."""

    name: ImageName | None = None
    version: Version | None = None


class PolicyRequest(Strict):
    """A policy as its file would hold it."""

    policy: dict[str, Any]


class PolicyEffect(BaseModel):
    """What a policy would do, as lines that can be compared."""

    problems: list[str] = Field(description="what can't be meant; then nothing else is said")
    warnings: list[str] = []
    before: list[str] = []
    after: list[str] = []


class Doomed(KeptVersion):
    """A version that a run would move to the trash."""

    name: str


class PrunePlan(BaseModel):
    """What a run would do."""

    remove: list[Doomed]
    kept: int
    limit: int = Field(description="so many may go without a word")
    digest: str
    waits: bool = Field(description="whether the digest has to be said")


class PruneRequest(Strict):
    """Do it."""

    confirm: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None


class Pruned(BaseModel):
    """What a run did."""

    removed: list[str]
    digest: str


class ScrubRequest(Strict):
    """Read chunks now."""

    older_than_days: Annotated[float, Field(ge=0, le=36500, strict=False)] = 0


class ScrubBegun(BaseModel):
    """It has begun, or waits."""

    waits_for: list[str] = Field(description="restores that have to end first, in words")


class Work(BaseModel):
    """What a work did last; more keys tell what."""

    model_config = ConfigDict(extra="allow")

    at: float = Field(description="when it was last done or tried, in seconds since 1970")
    done_at: float | None = Field(description="when it was last done to its end")
    problem: str | None


class Progress(BaseModel):
    """How far a collection is: it reads manifests, then looks at folders of chunks."""

    step: str
    done: int
    total: int


class UpkeepView(BaseModel):
    """What the service did last to look after images; null: nothing yet."""

    prune: Work | None
    collection: Work | None
    scrub: Work | None
    under_way: list[str]
    waits_for: list[str] = Field(description="restores that a scrub under way waits for, in words")
    progress: Progress | None = Field(description="of the collection under way")
    reading: Reading | None = Field(description="of all manifests; null: all are read")
    cut_off: dict[str, str] = Field(
        description="when a work was begun that was not ended: the service was, meanwhile"
    )
