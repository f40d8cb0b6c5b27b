# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says, as JSON in ``policy/``: all faults at once, in its variables' words.

A file is read anew when it changed. Without one nothing is said.
"""

from __future__ import annotations

import difflib
import json
import re
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from slipway.format.names import parse_image_ref

from .errors import ServiceError

_MAX_FILE = 16 << 20
# How many names a fault has.
_NAMED = 5
# Known without a data base of time zones.
_UTC = "UTC"
_Stamp = tuple[int, int, int]
_T = TypeVar("_T")


class PolicyError(Exception):
    """The policy can't be meant; ``problems`` says why, each with what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep every problem."""
        super().__init__(" ".join(problems))
        self.problems = list(problems)


class Strict(BaseModel):
    """Unknown keys and other types are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question in brackets when something is spelled nearly so, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def one_of(known: Sequence[str]) -> BeforeValidator:
    """A check that a value is one of these; what was meant is asked."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in known:
            meant = did_you_mean(value, known) if isinstance(value, str) else ""
            raise ValueError(f"must be one of {', '.join(known)}{meant}")
        return value

    return BeforeValidator(check)


def some_of(names: Sequence[str]) -> str:
    """A few of many names, for a fault."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _entry_name(text: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_-]{0,31}", text):
        raise ValueError(
            "must be a name of lower-case letters, digits, '_' and '-', 32 characters at most"
        )
    return text


# What a schedule or a site is called.
EntryName = Annotated[str, AfterValidator(_entry_name)]


def _reference(text: str) -> str:
    return str(parse_image_ref(text))


# An image or a version of one.
Reference = Annotated[str, AfterValidator(_reference)]


def _zone(name: str) -> str:
    known = zoneinfo.available_timezones() | {_UTC}
    if name not in known:
        raise ValueError(f"there is no time zone {name!r}{did_you_mean(name, known)}")
    return name


TimeZone = Annotated[str, AfterValidator(_zone)]


def zone_of(name: str) -> tzinfo:
    """The zone of a name that was checked."""
    return UTC if name == _UTC else zoneinfo.ZoneInfo(name)


def faults(error: ValidationError, fields_at: Callable[[Sequence[str]], list[str]]) -> PolicyError:
    """All faults in the inventory's words; ``fields_at``: the keys that a place may have."""
    return PolicyError([_said(each, fields_at) for each in error.errors()])


def _said(error: Any, fields_at: Callable[[Sequence[str]], list[str]]) -> str:
    where = [str(part) for part in error["loc"] if part != "[key]"]
    name = ".".join([f"policy_{where[0]}", *where[1:]]) if where else "policy"
    if error["type"] == "extra_forbidden":
        prefix = "policy_" if len(where) == 1 else ""
        known = [prefix + each for each in fields_at(where)]
        return (
            f"{name}: there is no such key{did_you_mean(prefix + where[-1], known)}. "
            f"There are {', '.join(known)}."
        )
    return f"{name}: {error['msg'].removeprefix('Value error, ')}."


class PolicyFile(Generic[_T]):
    """Blocks; callers run it in a thread."""

    def __init__(self, path: Path, parse: Callable[[Any], _T]) -> None:
        """Read nothing yet. ``parse`` makes what there is of JSON, or raises PolicyError."""
        self._path = path
        self._parse = parse
        self._known: tuple[_Stamp, _T | PolicyError] | None = None

    def current(self) -> _T:
        """The policy as it is now; ServiceError while its file can't be used."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._known = None
            return self._parse({})
        except OSError as error:
            raise _broken(self._path, str(error.strerror)) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self._read())
        found = self._known[1]
        if isinstance(found, PolicyError):
            raise _broken(self._path, str(found))
        return found

    def usable(self) -> _T:
        """The policy for who only looks: of one that can't be used, nothing is said."""
        try:
            return self.current()
        except ServiceError:
            return self._parse({})

    def problem(self) -> str | None:
        """Why the policy can't be used; None: it can."""
        try:
            self.current()
        except ServiceError as error:
            return error.message
        return None

    def _read(self) -> _T | PolicyError:
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE + 1)
            if len(data) > _MAX_FILE:
                raise ValueError(f"it is larger than {_MAX_FILE} bytes")
            return self._parse(json.loads(data))
        except PolicyError as error:
            return error
        except (OSError, ValueError, RecursionError) as error:
            return PolicyError([str(error)])


def _broken(path: Path, why: str) -> ServiceError:
    return ServiceError("policy_broken", f"The policy {path} can't be used: {why}")
