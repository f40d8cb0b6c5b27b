"""Names of machines, images, versions and chunks: one place decides what is safe.

Every name here ends up in a path, a URL, a command line or a boot script, so the rule is a
list of what is allowed, never of what is forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.format.errors import FormatError

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_PATTERN = r"[0-9]{8}T[0-9]{6}Z(?:-[1-9][0-9]{0,3})?"
RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "machines", "image_servers"})

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
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


def make_version(moment: datetime, taken: Container[str] = ()) -> str:
    """The version for an image published at `moment`, next to the versions in `taken`."""
    base = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    if base not in taken:
        return base
    for number in range(1, 10_000):
        if (candidate := f"{base}-{number}") not in taken:
            return candidate
    raise FormatError(f"more than 10,000 versions in one second: {base}")


def version_key(version: str) -> tuple[str, int]:
    """A sort key that puts the newest version last, `-10` behind `-9`."""
    base, _, number = version.partition("-")
    return base, int(number or 0)


def clip(value: object, limit: int = 80) -> str:
    """A short printable form of an untrusted value, for messages."""
    text = ascii(value if isinstance(value, str) else type(value).__name__)
    return text if len(text) <= limit else text[: limit - 3] + "..."
