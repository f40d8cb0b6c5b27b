# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's settings: one JSON file, read once, every key checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass


class SettingsError(Exception):
    """The file can't be used; the text names it, each key that is wrong, and why."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be a path that begins with /")
    return path


_Path = Annotated[Path, AfterValidator(_absolute)]
_Number = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Settings:
    """What the role job_runner decides."""

    socket: _Path
    project: _Path
    inventory: _Path
    state: _Path
    # Jobs at once.
    limit: Annotated[int, Field(ge=1, le=64)] = 8
    # A playbook is stopped after that many seconds.
    seconds: _Number = 24 * 3600
    # The output of a job: bytes that are kept, and for how long and how many jobs.
    output_bytes: _Number = 1 << 20
    output_days: _Number = 30
    output_files: _Number = 1000


_SETTINGS = TypeAdapter(Settings)


def load(path: Path) -> Settings:
    """Read the file; SettingsError says all that is wrong with it at once."""
    try:
        return _SETTINGS.validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"can't read {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(key) for key in each['loc']) or 'it'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise SettingsError(f"{path}: " + "; ".join(faults)) from error
