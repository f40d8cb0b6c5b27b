# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's settings: one JSON file, read once, every key checked."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """The file can't be used; the text says why."""


@dataclass(frozen=True)
class Settings:
    """What the role job_runner decides."""

    socket: Path
    project: Path
    inventory: Path
    state: Path
    # Jobs at once.
    limit: int = 8
    # A playbook is stopped after that many seconds.
    seconds: int = 24 * 3600
    # The output of a job: bytes that are kept, and for how long and how many jobs.
    output_bytes: int = 1 << 20
    output_days: int = 30
    output_files: int = 1000

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and not (isinstance(value, int) and value > 0):
                raise SettingsError(f"{field.name} must be a whole number above 0")
        if self.limit > 64:
            raise SettingsError("limit must be 64 or less")


def load(path: Path) -> Settings:
    """Read the file."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read {path}: {error}") from error
    fields = {field.name: str(field.type) for field in dataclasses.fields(Settings)}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold a JSON object")
    if unknown := sorted(set(values) - set(fields)):
        raise SettingsError(f"{path} has unknown keys: {', '.join(unknown)}")
    if missing := sorted({"socket", "project", "inventory", "state"} - set(values)):
        raise SettingsError(f"{path} lacks {', '.join(missing)}")
    made: dict[str, Any] = {
        key: Path(value) if fields[key] == "Path" else value for key, value in values.items()
    }
    return Settings(**made)
