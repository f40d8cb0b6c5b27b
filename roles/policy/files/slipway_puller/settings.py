# SPDX-License-Identifier: GPL-3.0-or-later
"""From where what is pulled, and how often: one JSON file, every key checked, all faults at once.

The file holds tokens: nothing that is said here repeats a value of it. The standard library alone:
the role looks at it on the controller, before anything of this is on the server.
``python -m slipway_puller.settings FILE`` does.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
_PATTERN = re.compile(r"[a-z0-9*?-]{1,63}\Z")
_KEYS = ("from", "images", "every_hours", "token", "ca")
_MOST_HOURS = 24 * 366


class SettingsError(Exception):
    """The settings can't be meant; ``problems`` says why, without any of their values."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem."""
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Source:
    """A site that is pulled from: the folder of a store, or a server."""

    name: str
    place: str
    images: tuple[str, ...]
    every_hours: float
    token: str = ""
    ca: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is no server."""
        return self.place.startswith("/")

    def wants(self, image: str) -> bool:
        """Whether an image is one of those that are pulled."""
        return any(fnmatch.fnmatchcase(image, each) for each in self.images)


def load(path: Path) -> list[Source]:
    """Read the settings; SettingsError with all that can't be meant."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError([f"{path} can't be read: {type(error).__name__}."]) from error
    return parse(said)


def parse(said: Any) -> list[Source]:
    """Make sources of the settings; SettingsError with all that can't be meant."""
    if not isinstance(said, dict):
        raise SettingsError(["policy_replicate: must name sites, each with what is pulled."])
    problems, found = [], []
    for name, each in said.items():
        where = f"policy_replicate.{str(name)[:40]}"
        faults = list(_faults(name, each))
        problems += [f"{where}{fault}" for fault in faults]
        if not faults:
            found.append(
                Source(
                    name,
                    each["from"],
                    tuple(each["images"]),
                    float(each.get("every_hours", 24)),
                    each.get("token", ""),
                    each.get("ca", ""),
                )
            )
    if problems:
        raise SettingsError(problems)
    return found


def _faults(name: Any, said: Any) -> Iterator[str]:
    if not isinstance(name, str) or not _NAME.match(name):
        yield (
            ": must be a name of lower-case letters, digits, '_' and '-', 32 characters at most."
        )
    if not isinstance(said, dict):
        yield f": must have the keys {', '.join(_KEYS)}."
        return
    for key in said:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            yield f".{str(key)[:40]}: there is no such key{meant}. There are {', '.join(_KEYS)}."
    yield from _place_faults(said)
    images = said.get("images")
    if not isinstance(images, list) or not images:
        yield '.images: must be a list of names, or of patterns such as "course-*".'
    elif not all(isinstance(each, str) and _PATTERN.match(each) for each in images):
        yield ".images: must be images' names, with * and ? for what is left open."
    hours = said.get("every_hours", 24)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours < _MOST_HOURS:
        yield ".every_hours: must be a number of hours, more than 0 and less than a year."


def _place_faults(said: Mapping[str, Any]) -> Iterator[str]:
    place = said.get("from")
    if not isinstance(place, str) or not _is_place(place):
        yield ".from: must be https://SERVER, or the path of a store's folder on this server."
        return
    for key in ("token", "ca"):
        value = said.get(key)
        if place.startswith("/"):
            if value is not None:
                yield f".{key}: a folder takes none."
        elif not isinstance(value, str) or not value.isprintable() or not value.strip():
            yield f".{key}: must be given for a server, as a text."
    ca = said.get("ca")
    if not place.startswith("/") and isinstance(ca, str) and not ca.startswith("/"):
        yield ".ca: must be the path of a file on this server, with the other server's CA."


def _is_place(text: str) -> bool:
    if text.startswith("/"):
        return text.isprintable()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and parts.username is None
        and not parts.path.strip("/")
        and not parts.query
        and port != 0
    )


def main() -> int:
    """Say whether the settings are usable."""
    try:
        load(Path(sys.argv[1]))
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
