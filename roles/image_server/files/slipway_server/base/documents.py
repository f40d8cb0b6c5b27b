# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON files that others write for the service: read whole, all faults named at once."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

_Made = TypeVar("_Made")


class DocumentError(Exception):
    """The file can't be used; the text names it, each key that is wrong, and why."""


def parse(kind: TypeAdapter[_Made], text: str | bytes) -> _Made:
    """Make of JSON what it describes; DocumentError names each key that is wrong."""
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise DocumentError("; ".join(_faults(error))) from error


def read(kind: TypeAdapter[_Made], path: Path, most: int = 1 << 20) -> _Made:
    """Read a file of at most that many bytes."""
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise DocumentError(f"can't read {path}: {error.strerror}") from error
    if len(text) > most:
        raise DocumentError(f"{path}: it is larger than {most} bytes")
    try:
        return parse(kind, text)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from error


def _faults(error: ValidationError) -> list[str]:
    # Without the values: hashes of passwords may be among them.
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{'.'.join(str(key) for key in each['loc']) or 'it'}: {each['msg']}" for each in found]
