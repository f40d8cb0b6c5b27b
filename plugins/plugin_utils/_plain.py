# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine answers, made plain: data of known size that acts on nothing.

The root of a PC may be hostile. Whatever it says becomes numbers, flags and printable text here,
before Ansible sees it: no key that Ansible acts on, and no tag that makes text a template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

# Of one answer: a machine with many disks has some hundred entries.
_MOST = 20_000
_DEEPEST = 12
_LONGEST = 2000
_LONGEST_KEY = 60
_LARGEST = 1 << 63


class NotPlain(SlipwayError):
    """An answer that no honest machine gives."""

    def __init__(self, what: str) -> None:
        """Say what is wrong with it."""
        super().__init__(
            f"Its answer can't be: {what}.",
            "Look at the machine: its imaging environment is not the one that was built for it.",
            "bad_answer",
        )


def plain(value: object) -> Any:
    """Return a copy of JSON-like data with cleaned texts, or raise NotPlain."""
    return _copy(value, [_MOST], 0)


def allowed(answer: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the keys that may be there, cleaned; raise NotPlain for one of another type.

    A key that is missing or null is left out, and so is every key that is not named.
    """
    found = {key: answer[key] for key in kinds if answer.get(key) is not None}
    for key, value in found.items():
        if not _is(value, kinds[key]):
            raise NotPlain(f"{key} is {_name(value)}, not {kinds[key].__name__}")
    return {key: plain(value) for key, value in found.items()}


def text(value: object, limit: int = _LONGEST) -> str:
    """Return printable text without any tag that Ansible gave it."""
    return "".join(clean(value, limit))


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _copy(value: object, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        raise NotPlain("it has too many parts")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {_key(key): _copy(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_copy(item, left, depth + 1) for item in value]
    raise NotPlain(f"{_name(value)} is no JSON")


def _number(value: float) -> int | float:
    # NaN and the infinities fail this comparison too.
    if not abs(value) < _LARGEST:
        raise NotPlain("a number in it is none that can be meant")
    return int(value) if isinstance(value, int) else float(value)


def _key(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_KEY:
        raise NotPlain("a key in it is no name")
    return text(value)


def _name(value: object) -> str:
    return clean(type(value).__name__.removeprefix("_AnsibleTagged"), 40)
