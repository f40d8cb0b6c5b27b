# SPDX-License-Identifier: GPL-3.0-or-later
"""The text in which LVM writes down a volume group: `name { ... }` and `key = value`."""

from __future__ import annotations

import re
from typing import Any

from slipway.engine.errors import ToolError

_TOKEN = re.compile(r'\s+|#[^\n]*|("(?:[^"\\]|\\.)*")|([][{}=,])|([^\s#"\[\]{}=,]+)')
_ESCAPE = re.compile(r"\\(.)")


def parse(text: str) -> dict[str, Any]:
    """Sections as dicts; values are text, whole numbers or lists of them."""
    tokens = _tokens(text)
    try:
        return _section(tokens)
    except (IndexError, RecursionError) as error:
        raise ToolError("LVM's metadata can't be read: it ends too early") from error


def _tokens(text: str) -> list[str]:
    """All tokens, the last first; text values keep their opening quote."""
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ToolError(f"LVM's metadata can't be read at {text[position : position + 40]!r}")
        position = match.end()
        if match[1]:
            found.append('"' + _ESCAPE.sub(r"\1", match[1][1:-1]))
        elif match[2] or match[3]:
            found.append(match[2] or match[3])
    return ["}", *reversed(found)]


def _section(tokens: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    while (name := tokens.pop()) != "}":
        sign = tokens.pop()
        if sign == "{":
            result[name] = _section(tokens)
        elif sign == "=":
            result[name] = _value(tokens)
        else:
            raise ToolError(f"LVM's metadata can't be read: {name} {sign}")
    return result


def _value(tokens: list[str]) -> Any:
    token = tokens.pop()
    if token != "[":
        return _scalar(token)
    values = []
    while (token := tokens.pop()) != "]":
        if token != ",":
            values.append(_scalar(token))
    return values


def _scalar(token: str) -> str | int:
    if token.startswith('"'):
        return token[1:]
    return int(token) if token.lstrip("-").isdigit() else token
