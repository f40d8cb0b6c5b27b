# SPDX-License-Identifier: GPL-3.0-or-later
"""What people have asked for."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from ..asking import Ask
from ..lists import Column, listed
from ..service import path

_MOST = "10000"
_COLUMNS = (
    Column("number", "Number", lambda row: row["number"]),
    Column("who", "Who", lambda row: row["who"]),
    Column("verb", "What", lambda row: row["verb"]),
    Column("outcome", "Outcome", lambda row: row["outcome"]),
)


async def show_all(ask: Ask) -> Response:
    """The newest lines first."""
    rows = list(reversed((await ask.get(path("audit"), most=_MOST))["lines"]))
    return ask.show("audit.html", list=listed(rows, _COLUMNS, ask.fields, _text))


def _text(row: dict[str, Any]) -> str:
    return " ".join(str(each) for each in row.values() if each is not None)
