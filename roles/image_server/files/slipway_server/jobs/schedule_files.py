# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory plans: ``policy/schedules.json``, as the role policy writes it."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, time, tzinfo
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from slipway.format.names import check_name

from ..base.policy_files import (
    EntryName,
    PolicyError,
    PolicyFile,
    Reference,
    Strict,
    TimeZone,
    faults,
    one_of,
    some_of,
    zone_of,
)
from .job import AFTER, Ordered
from .options import JOB_OPTIONS, BackupOptions, RestoreOptions
from .windows import Times

FILE = "schedules.json"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z")


def _clock(value: Any) -> time:
    found = _CLOCK.match(value) if isinstance(value, str) else None
    if found is None:
        # YAML makes 1200 of 20:00 without quotation marks.
        raise ValueError('must be a time of day such as "20:00", in quotation marks')
    return time(int(found[1]), int(found[2]))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()[:40]!r} is no date such as 2026-12-24") from None


def _dates(value: Any) -> tuple[date, date]:
    if not isinstance(value, str):
        raise ValueError('must be a date or two, such as "2026-12-24..2027-01-06"')
    first, _, last = value.partition("..")
    found = _date(first), _date(last or first)
    if found[1] < found[0]:
        raise ValueError(f"{value} ends before it begins")
    return found


def _machine(text: str) -> str:
    return check_name(text, "machine")


def _once(value: list[str]) -> list[str]:
    twice = sorted({each for each in value if value.count(each) > 1}) if len(value) < 100 else []
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice")
    return value


_Number = Annotated[int, Field(ge=1, le=1000)]
_Clock = Annotated[time, BeforeValidator(_clock)]
_OPTIONS = {name for each in JOB_OPTIONS.values() for name in each.model_fields}


class _Verb(Strict):
    """What is looked at before options, which are the verb's."""

    verb: Annotated[str, one_of(get_args(Ordered))]


class Schedule(RestoreOptions, BackupOptions, _Verb):
    """A window and an age: see `schedules`. Each job of it is told the options."""

    pattern: str = ""
    # What of the pattern the role did not find in the inventory.
    unknown: list[str] = Field(default=[])
    # Names, which the role made of the inventory's pattern.
    machines: Annotated[list[Annotated[str, AfterValidator(_machine)]], Field(max_length=10_000)]
    begin: _Clock = Field(alias="from")
    end: _Clock = Field(alias="to")
    days: Annotated[list[Annotated[str, one_of(DAYS)]], AfterValidator(_once)] = Field(
        default=list(DAYS), min_length=1
    )
    but: list[Annotated[tuple[date, date], BeforeValidator(_dates)]] = Field(
        default=[], alias="except"
    )
    every_days: Annotated[int, Field(ge=1, le=366)] = 1
    at_once: _Number = 4
    stagger_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    attempts: Annotated[int, Field(ge=1, le=20)] = 2
    if_on: Annotated[str, one_of(("skip", "wait"))] = "skip"
    after: Annotated[str, one_of(AFTER)] = "as_found"
    alarm_days: Annotated[int, Field(ge=1, le=366)] = 3
    image: Reference | None = Field(default=None, validate_default=True)

    # Each looks at its own field, so that all faults are told at once.
    @field_validator(*_OPTIONS)
    @classmethod
    def _of_its_verb(cls, value: Any, info: ValidationInfo) -> Any:
        verb = info.data.get("verb")
        if verb in JOB_OPTIONS and info.field_name not in JOB_OPTIONS[verb].model_fields:
            takes = ", ".join(JOB_OPTIONS[verb].model_fields)
            raise ValueError(f"{verb} takes {takes or 'no options'}")
        return value

    @field_validator("machines")
    @classmethod
    def _somebody(cls, value: list[str], info: ValidationInfo) -> list[str]:
        problems = []
        if not value:
            problems.append(f"{info.data.get('pattern')!r} matches no machine of this server")
        if unknown := info.data.get("unknown"):
            problems.append(f"the inventory has no {', '.join(unknown)}")
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("end")
    @classmethod
    def _has_length(cls, value: time, info: ValidationInfo) -> time:
        if value == info.data.get("begin"):
            raise ValueError("the window has no length: from and to are the same")
        return value

    @field_validator("image")
    @classmethod
    def _can_be_meant(cls, value: str | None, info: ValidationInfo) -> str | None:
        verb = info.data.get("verb")
        if verb == "restore" and value is None:
            raise ValueError("say which one is to be restored")
        if verb in ("backup", "wake") and value is not None:
            raise ValueError(f"{verb} takes none")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """What each job is told beside its verb."""
        return self.model_dump(include=_OPTIONS, exclude_none=True)

    def times(self, zone: tzinfo) -> Times:
        """When its windows are."""
        days = frozenset(DAYS.index(each) for each in self.days)
        return Times(self.begin, self.end, zone, days, tuple(self.but))

    def image_of(self, machine: str) -> str:
        """The image that is made or read for a machine."""
        return self.image or machine


class Plan(Strict):
    """All schedules."""

    time_zone: TimeZone = "UTC"
    schedules: dict[EntryName, Schedule] = Field(default_factory=dict)

    @property
    def zone(self) -> tzinfo:
        """Where the times of day are meant."""
        return zone_of(self.time_zone)

    def digest(self, name: str) -> str:
        """What names the windows of a schedule and no others."""
        said = self.schedules[name]
        words = (self.time_zone, said.begin, said.end, sorted(said.days), said.but)
        return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def parse(value: Any) -> Plan:
    """Read a plan; PolicyError with all that can't be meant."""
    try:
        plan = Plan.model_validate(value)
    except ValidationError as error:
        found = faults(error, _fields_at).problems
        raise PolicyError([*found, *_clashes(_what_can_be_read(value))]) from error
    if problems := list(_clashes(plan)):
        raise PolicyError(problems)
    return plan


def _what_can_be_read(value: Any) -> Plan:
    """The schedules that have no fault of their own."""
    said = value.get("schedules") if isinstance(value, dict) else None
    found = {}
    for name, each in said.items() if isinstance(said, dict) else ():
        with suppress(ValidationError):
            found[name] = Schedule.model_validate(each)
    return Plan.model_construct(schedules=found)


def plan_file(folder: Path) -> PolicyFile[Plan]:
    """The file as the role policy writes it."""
    return PolicyFile(folder / FILE, parse)


def _fields_at(where: Sequence[str]) -> list[str]:
    if len(where) == 1:
        return list(Plan.model_fields)
    return [each.alias or name for name, each in Schedule.model_fields.items()]


def _clashes(plan: Plan) -> Iterator[str]:
    """Machines that two schedules want for the same, or at the same time."""
    for (one, first), (two, second) in itertools.combinations(plan.schedules.items(), 2):
        both = sorted(set(first.machines) & set(second.machines))
        if not both:
            continue
        names = some_of(both)
        if first.verb == second.verb:
            yield f"policy_schedules: {one} and {two} both {first.verb} {names}: leave it to one."
        elif first.times(plan.zone).clashes(second.times(plan.zone)):
            yield (
                f"policy_schedules: {one} and {two} want {names} at the same time: let one end "
                "before the other begins."
            )
