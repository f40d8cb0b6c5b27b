# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a manifest's JSON holds, counted before it is read.

JSON takes a hundred times its size in memory when it is all brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.format.errors import FormatError

# No object of a manifest has more than 12 keys and 8 texts; between its keys, and behind it in a
# list, are commas.
_TEXTS_EACH = 22
_COMMAS_EACH = 14
_MAX_DEPTH = 6
_SLICE = 1 << 20
_STRING = re.compile(rb'"[^"]*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check_shape(text: bytearray, max_containers: int) -> None:
    """FormatError for what holds more objects and lists, more in each, or deeper ones.

    Nothing here makes an object for each value.
    """
    plain = text
    if b"\\" in text:
        plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets, commas = bytearray(), 0
    for piece in _outside_texts(plain):
        brackets += piece.translate(None, _NO_BRACKETS)
        commas += piece.count(b",")
        if len(brackets) > 2 * max_containers:
            raise FormatError("the manifest holds more than its lists have room for")
    containers = len(brackets) // 2
    if commas > _COMMAS_EACH * containers or plain.count(b'"') > 2 * _TEXTS_EACH * containers:
        raise FormatError("the manifest holds more values than its objects have keys")
    for _ in range(_MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise FormatError(
            f"the manifest is nested deeper than {_MAX_DEPTH}, or its brackets do not match"
        )


def _outside_texts(plain: bytearray) -> Iterator[bytearray]:
    """JSON without its texts, slice by slice; `plain` has no escaped quotes."""
    start = 0
    while start < len(plain):
        end = min(start + _SLICE, len(plain))
        if plain.count(b'"', start, end) % 2:
            # The slice ends within a text.
            end = plain.find(b'"', end) + 1 or len(plain)
        yield bytearray(_STRING.sub(b"", plain[start:end]))
        start = end
