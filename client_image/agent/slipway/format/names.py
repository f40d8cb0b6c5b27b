# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of machines, images, versions and chunks: one place decides what is safe.

Every name here ends up in a path, a URL, a command line or a boot script, so the rule is a
list of what is allowed, never of what is forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from slipway.format.errors import FormatError

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_PATTERN = r"[0-9]{8}T[0-9]{6}Z(?:-[1-9][0-9]{0,3})?"
RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "machines", "image_servers"})

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST = 9999
_TIME = "%Y%m%dT%H%M%SZ"
_TOLERANCE = timedelta(minutes=5)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class ImageRef:
    """`NAME` or `NAME@VERSION` as a user writes it; without a version the newest is meant."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        """As the user writes it."""
        return self.name if self.version is None else f"{self.name}@{self.version}"


def is_name(text: str) -> bool:
    """Whether `text` may name a machine or an image."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED_NAMES


def check_name(text: object, what: str = "image") -> str:
    """Return `text` when it may name a machine or an image, else raise FormatError."""
    if not isinstance(text, str) or _NAME.fullmatch(text) is None:
        raise FormatError(
            f"{clip(text)} is no {what} name: use 1 to 63 lower-case letters, digits and '-', "
            "beginning with a letter or digit"
        )
    if text in RESERVED_NAMES:
        raise FormatError(f"{clip(text)} is a reserved word and can't be a {what} name")
    return text


def check_version(text: object) -> str:
    """Return `text` when it is a version, else raise FormatError."""
    if not isinstance(text, str) or _VERSION.fullmatch(text) is None:
        raise FormatError(f"{clip(text)} is no version: versions look like 20260131T235959Z")
    return text


def check_digest(text: object) -> str:
    """Return `text` when it is a SHA-256 in lower-case hexadecimal, else raise FormatError."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise FormatError(f"{clip(text)} is no chunk name: 64 lower-case hexadecimal digits")
    return text


def check_mac(text: object) -> str:
    """Return `text` as `aa:bb:cc:dd:ee:ff`, whatever separators and case it came in."""
    if isinstance(text, str) and len(text) == 17:
        canonical = text.lower().replace("-", ":")
        if _MAC.fullmatch(canonical):
            return canonical
    raise FormatError(f"{clip(text)} is no MAC address: they look like 52:54:00:12:34:56")


def parse_image_ref(text: str) -> ImageRef:
    """Read `NAME` or `NAME@VERSION`."""
    name, at, version = text.partition("@")
    return ImageRef(check_name(name), check_version(version) if at else None)


def make_version(moment: datetime, taken: Collection[str] = ()) -> str:
    """The version for an image published at `moment`: newer than all in `taken`.

    A clock that was ahead once has left versions of a time to come. The next one follows the
    newest of them by a second, or it would never be the newest.
    """
    base = moment.astimezone(UTC).strftime(_TIME)
    newest, number = version_key(max(taken, key=version_key, default=""))
    if newest < base:
        return base
    following = _a_second_after(newest)
    if following and (newest > base or number == _MOST):
        return following
    if number == _MOST:
        raise FormatError(f"no version can follow {newest}-{number}")
    return f"{newest}-{number + 1}"


def _a_second_after(base: str) -> str:
    """Empty when there is none: digits that are no time, or the calendar's last second."""
    try:
        return (datetime.strptime(base, _TIME) + timedelta(seconds=1)).strftime(_TIME)
    except (ValueError, OverflowError):
        return ""


def is_ahead(version: str, moment: datetime) -> bool:
    """Whether a version's time lies after `moment` by more than clocks differ that are right."""
    return version.partition("-")[0] > _ahead_from(moment)


@lru_cache(maxsize=8)
def _ahead_from(moment: datetime) -> str:
    """Lists ask for thousands of versions at one moment."""
    return (moment.astimezone(UTC) + _TOLERANCE).strftime(_TIME)


def ahead_warning(name: str, version: str, moment: datetime) -> str | None:
    """What is to be said of a version that was made just now, if it is ahead."""
    if not is_ahead(version, moment):
        return None
    return (
        f"{name}@{version} says a time to come: it had to be newer than a version that was made "
        "while a clock was ahead; check the clocks, and look at the list of images for what to "
        "delete"
    )


def version_key(version: str) -> tuple[str, int]:
    """A sort key that puts the newest version last, `-10` behind `-9`."""
    base, _, number = version.partition("-")
    return base, int(number or 0)


def clip(value: object, limit: int = 80) -> str:
    """A short printable form of an untrusted value, for messages."""
    text = ascii(value if isinstance(value, str) else type(value).__name__)
    return text if len(text) <= limit else text[: limit - 3] + "..."
