# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser sends: bounded, in UTF-8, and nothing that is no text."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

MAX_BYTES = 64 << 10
MAX_FIELDS = 500
_MAX_VALUE = 4096


class FormError(Exception):
    """A form or a query that is none; the text says why."""


class Fields:
    """Names and values, in their order; a name may come several times."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        """As `parse` has them."""
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str:
        """A value without the space around it; empty if there is none."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """A value as it was typed, as a password is."""
        return self._values.get(name, [""])[-1]

    def all(self) -> list[tuple[str, str]]:
        """Every name with each of its values."""
        return [(name, value) for name, values in self._values.items() for value in values]

    def many(self, name: str) -> list[str]:
        """All values of a name, each once."""
        return list(dict.fromkeys(each.strip() for each in self._values.get(name, [])))


def parse(text: bytes) -> Fields:
    """Read ``application/x-www-form-urlencoded``; FormError when it is none."""
    if len(text) > MAX_BYTES:
        raise FormError(f"It has more than {MAX_BYTES} bytes.")
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise FormError("It holds text that is no UTF-8.") from None
    except ValueError:
        raise FormError(f"It has more than {MAX_FIELDS} fields.") from None
    for name, value in pairs:
        if len(value) > _MAX_VALUE or any(not _is_text(each) for each in name + value):
            raise FormError("A field holds what is no text, or too much of it.")
    return Fields(pairs)


def _is_text(character: str) -> bool:
    return character.isprintable() or character in "\n\r\t"
