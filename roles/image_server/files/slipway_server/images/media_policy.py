# SPDX-License-Identifier: GPL-3.0-or-later
"""What media the inventory wants: ``policy/media.json``, as the role policy writes it; when they
are due. Pure but for the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from slipway.format import MEDIA, ImageRef

from ..base.policy_files import PolicyFile, Reference, Strict, did_you_mean, faults
from ..base.times import seconds
from .media import Media
from .policy import ImageName

FILE = "media.json"
_DAY = 86400.0


def _medium(value: Any) -> Any:
    # A number of bytes needs no quotation marks.
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not (text in MEDIA or re.fullmatch("[0-9]{1,15}", text)):
        meant = did_you_mean(text, MEDIA) if isinstance(text, str) else ""
        raise ValueError(f"must be one of {', '.join(MEDIA)}, or a number of bytes{meant}")
    return text


class Target(Strict):
    """Which disk is certain where it is not the one that the image was saved from."""

    model: str | None = None
    least_size: Annotated[int, Field(ge=1)] | None = None
    only_fixed: bool | None = None
    machine_serial: str | None = None
    machine_uuid: str | None = None


class Wanted(Strict):
    """One set of media."""

    medium: Annotated[str, BeforeValidator(_medium)]
    image: Reference | None = None
    every_days: Annotated[int, Field(ge=1, le=3660)] = 30
    unattended: bool = False
    countdown: Annotated[int, Field(ge=0, le=3600)] = 30
    target: Target = Target()

    def image_of(self, name: str) -> str:
        """The image that a set of this name holds."""
        return self.image or name


class MediaPolicy(Strict):
    """All sets, by name."""

    media: dict[ImageName, Wanted] = Field(default_factory=dict)


def parse(value: Any) -> MediaPolicy:
    """Read what is wanted; PolicyError with all that can't be meant."""
    try:
        return MediaPolicy.model_validate(value)
    except ValidationError as error:
        raise faults(error, _fields_at) from error


def _fields_at(where: Sequence[str]) -> list[str]:
    return list(Target.model_fields if where[-2] == "target" else Wanted.model_fields)


def media_file(folder: Path) -> PolicyFile[MediaPolicy]:
    """The file as the role policy writes it."""
    return PolicyFile(folder / FILE, parse)


def lines(policy: MediaPolicy) -> list[str]:
    """What is wanted as lines to compare."""
    return [
        f"media {name}: {said.image_of(name)} for {said.medium}, "
        f"{'unattended, ' if said.unattended else ''}at most every {said.every_days} days"
        for name, said in policy.media.items()
    ]


def order_of(wanted: Wanted, version: ImageRef, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the builder is asked for. ``known``: what tells the machine of that name from others."""
    said = wanted.target.model_dump(exclude_none=True)
    return {
        "image": str(version),
        "medium": wanted.medium,
        "unattended": wanted.unattended,
        "countdown": wanted.countdown,
        "rule": {**(known if wanted.unattended else {}), **said},
    }


def digest_of(order: Mapping[str, Any]) -> str:
    """What is the same for the same wish."""
    return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:16]


def is_due(wanted: Wanted, version: ImageRef, made: Media | None, now: float) -> bool:
    """Whether a set is to be made: there is none such, or the image changed and days are over."""
    if made is None or (made.image, made.medium, made.unattended) != (
        version.name,
        wanted.medium,
        wanted.unattended,
    ):
        return True
    if made.version == version.version:
        return False
    when = seconds(made.made)
    # One of a time to come says nothing of its age.
    return when is None or not 0 <= now - when < wanted.every_days * _DAY
