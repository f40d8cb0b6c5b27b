# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of images: ``policy/images.json``, as the role policy writes it.

Faults are told all at once, in the words of the inventory's variables. The file is read anew when
it changed. Without one everything is kept; with one that can't be used nothing is removed.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from slipway.format.names import check_name, check_version, parse_image_ref

from ..base.policy_files import (
    EntryName,
    PolicyError,
    PolicyFile,
    Reference,
    Strict,
    TimeZone,
    faults,
    zone_of,
)

FILE = "images.json"
MAX_NOTE = 500
_MAX_COUNT = 9999
_MAX_DAYS = 36500
# What has a file of its own beside this one.
ELSEWHERE = ("schedules", "media")


def _nothing_for_empty(value: Any) -> Any:
    return None if value == {} else value


def matches(image: str, patterns: Iterable[str]) -> bool:
    """Whether an image is one of those that patterns with ``*`` and ``?`` mean."""
    return any(fnmatch.fnmatchcase(image, each) for each in patterns)


def _pattern(text: str) -> str:
    if not re.fullmatch("[a-z0-9*?-]{1,63}", text):
        raise ValueError("must be an image's name, with * and ? for what is left open")
    return text


def _note(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


ImageName = Annotated[str, AfterValidator(check_name)]
Note = Annotated[str, Field(max_length=MAX_NOTE), AfterValidator(_note)]
_Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]


class Keep(Strict):
    """How many of which versions are kept: see `retention`."""

    last: _Count = 0
    daily: _Count = 0
    weekly: _Count = 0
    monthly: _Count = 0
    yearly: _Count = 0

    @model_validator(mode="after")
    def _keeps_something(self) -> Keep:
        if not any(self.model_dump().values()):
            raise ValueError(
                "every number is 0, which would keep nothing: leave it out to keep all"
            )
        return self


_Rules = Annotated[Keep | None, BeforeValidator(_nothing_for_empty)]


class ImagePolicy(Strict):
    """What is said of one image. ``keep`` takes the place of that for all."""

    keep: _Rules = None
    note: Note = ""
    hold: list[Annotated[str, AfterValidator(check_version)]] = Field(default_factory=list)


class ReadingSite(Strict):
    """Another site, which may read images of this one."""

    # SHA-256 of its token, which is random: it needs no slow hash.
    token_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    images: Annotated[list[Annotated[str, AfterValidator(_pattern)]], Field(min_length=1)]


class Policy(Strict):
    """What is said of images. Without ``keep`` everything is kept."""

    keep: _Rules = None
    time_zone: TimeZone = "UTC"
    trash_days: Annotated[int, Field(ge=0, le=_MAX_DAYS)] = 7
    check_days: Annotated[int, Field(ge=1, le=_MAX_DAYS)] = 30
    images: dict[ImageName, ImagePolicy] = Field(default_factory=dict)
    aliases: dict[ImageName, Reference] = Field(default_factory=dict)
    sites: dict[EntryName, ReadingSite] = Field(default_factory=dict)

    @property
    def zone(self) -> tzinfo:
        """Where days begin."""
        return zone_of(self.time_zone)

    def keep_of(self, name: str) -> Keep | None:
        """The rules for an image."""
        own = self.images.get(name)
        return own.keep if own is not None and own.keep is not None else self.keep

    @property
    def removes(self) -> bool:
        """Whether anything is ever removed by a rule."""
        return self.keep is not None or any(each.keep for each in self.images.values())


def parse(value: Any) -> Policy:
    """Read a policy; PolicyError with all that can't be meant."""
    try:
        policy = Policy.model_validate(value)
    except ValidationError as error:
        raise faults(error, _fields_at) from error
    if problems := _alias_problems(policy):
        raise PolicyError(problems)
    return policy


def _fields_at(where: Sequence[str]) -> list[str]:
    """The keys that a place in the policy may have."""
    if len(where) == 1:
        return [*Policy.model_fields, *ELSEWHERE]
    if where[0] == "sites":
        return list(ReadingSite.model_fields)
    return list(Keep.model_fields if where[-2] == "keep" else ImagePolicy.model_fields)


def _alias_problems(policy: Policy) -> list[str]:
    return [
        f"policy_aliases.{alias}: {target} is an alias itself: name an image."
        for alias, target in policy.aliases.items()
        if parse_image_ref(target).name in policy.aliases
    ]


def policy_file(folder: Path) -> PolicyFile[Policy]:
    """The file as the role policy writes it."""
    return PolicyFile(folder / FILE, parse)
