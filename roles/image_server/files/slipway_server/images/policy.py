# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of images: ``policy/images.json``, as the role policy writes it.

Faults are told all at once, in the words of the inventory's variables. The file is read anew when
it changed. Without one everything is kept; with one that can't be used nothing is removed.
"""

from __future__ import annotations

import difflib
import json
import zoneinfo
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from slipway.format.names import check_name, check_version, parse_image_ref

from ..base.errors import ServiceError

FILE = "images.json"
MAX_NOTE = 500
_MAX_FILE = 16 << 20
_MAX_COUNT = 9999
_MAX_DAYS = 36500
# Known without a data base of time zones.
_UTC = "UTC"
_Stamp = tuple[int, int, int]


class PolicyError(Exception):
    """The policy can't be meant; ``problems`` says why, each with what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep every problem."""
        super().__init__(" ".join(problems))
        self.problems = list(problems)


def _nothing_for_empty(value: Any) -> Any:
    return None if value == {} else value


def _zone(name: str) -> str:
    known = zoneinfo.available_timezones() | {_UTC}
    if name not in known:
        raise ValueError(f"there is no time zone {name!r}{did_you_mean(name, known)}")
    return name


def _note(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


def _reference(text: str) -> str:
    return str(parse_image_ref(text))


ImageName = Annotated[str, AfterValidator(check_name)]
Note = Annotated[str, Field(max_length=MAX_NOTE), AfterValidator(_note)]
_Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Keep(_Strict):
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


class ImagePolicy(_Strict):
    """What is said of one image. ``keep`` takes the place of that for all."""

    keep: _Rules = None
    note: Note = ""
    hold: list[Annotated[str, AfterValidator(check_version)]] = Field(default_factory=list)


class Policy(_Strict):
    """What is said of images. Without ``keep`` everything is kept."""

    keep: _Rules = None
    time_zone: Annotated[str, AfterValidator(_zone)] = _UTC
    trash_days: Annotated[int, Field(ge=0, le=_MAX_DAYS)] = 7
    check_days: Annotated[int, Field(ge=1, le=_MAX_DAYS)] = 30
    images: dict[ImageName, ImagePolicy] = Field(default_factory=dict)
    aliases: dict[ImageName, Annotated[str, AfterValidator(_reference)]] = Field(
        default_factory=dict
    )

    @property
    def zone(self) -> tzinfo:
        """Where days begin."""
        return UTC if self.time_zone == _UTC else zoneinfo.ZoneInfo(self.time_zone)

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
        raise PolicyError([_said(each) for each in error.errors()]) from error
    if problems := _alias_problems(policy):
        raise PolicyError(problems)
    return policy


def _said(error: Any) -> str:
    """One fault in the inventory's words."""
    where = [str(part) for part in error["loc"] if part != "[key]"]
    name = ".".join([f"policy_{where[0]}", *where[1:]]) if where else "policy"
    if error["type"] == "extra_forbidden":
        prefix = "policy_" if len(where) == 1 else ""
        known = [prefix + each for each in _fields_at(where)]
        return (
            f"{name}: there is no such key{did_you_mean(prefix + where[-1], known)}. "
            f"There are {', '.join(known)}."
        )
    return f"{name}: {error['msg'].removeprefix('Value error, ')}."


def _fields_at(where: Sequence[str]) -> list[str]:
    """The keys that a place in the policy may have."""
    if len(where) == 1:
        return list(Policy.model_fields)
    return list(Keep.model_fields if where[-2] == "keep" else ImagePolicy.model_fields)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question in brackets when something is spelled nearly so, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _alias_problems(policy: Policy) -> list[str]:
    return [
        f"policy_aliases.{alias}: {target} is an alias itself: name an image."
        for alias, target in policy.aliases.items()
        if parse_image_ref(target).name in policy.aliases
    ]


class PolicyFile:
    """Blocks; callers run it in a thread."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._path = folder / FILE
        self._known: tuple[_Stamp, Policy | PolicyError] | None = None

    def current(self) -> Policy:
        """The policy as it is now; ServiceError while its file can't be used."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._known = None
            return Policy()
        except OSError as error:
            raise _broken(self._path, str(error.strerror)) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self._read())
        found = self._known[1]
        if isinstance(found, PolicyError):
            raise _broken(self._path, str(found))
        return found

    def usable(self) -> Policy:
        """The policy for who only looks: one that can't be used removes nothing, as none does."""
        try:
            return self.current()
        except ServiceError:
            return Policy()

    def problem(self) -> str | None:
        """Why the policy can't be used; None: it can."""
        try:
            self.current()
        except ServiceError as error:
            return error.message
        return None

    def _read(self) -> Policy | PolicyError:
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE + 1)
            if len(data) > _MAX_FILE:
                raise ValueError(f"it is larger than {_MAX_FILE} bytes")
            return parse(json.loads(data))
        except PolicyError as error:
            return error
        except (OSError, ValueError, RecursionError) as error:
            return PolicyError([str(error)])


def _broken(path: Path, why: str) -> ServiceError:
    return ServiceError("policy_broken", f"The policy {path} can't be used: {why}")
