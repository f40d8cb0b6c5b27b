# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs that ask to become machines."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from ..asking import Ask
from ..lists import Column, listed
from ..service import path

_COLUMNS = (
    Column("created", "Waits since", lambda row: row["created"]),
    Column("name", "Name", lambda row: row["name"]),
    Column("state", "State", lambda row: row["state"]),
)


async def show_all(ask: Ask) -> Response:
    """The queue, with what was decided lately."""
    found = (await ask.get(path("registrations")))["registrations"]
    rows = [
        each | {"model": _said(each, "model"), "vendor": _said(each, "vendor")} for each in found
    ]
    return ask.show("registrations.html", list=listed(rows, _COLUMNS, ask.fields, _text))


def _said(row: dict[str, Any], key: str) -> str:
    return str(row["hardware"].get(key) or "")[:128]


def _text(row: dict[str, Any]) -> str:
    said = [row["name"], row["state"], row["model"], row["serial"] or "", row["address"] or ""]
    return " ".join([*said, *row["macs"]])
