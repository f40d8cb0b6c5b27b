# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines: all of them, and one."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from .. import words
from ..asking import Ask
from ..lists import Column, listed
from ..service import path

_COLUMNS = (
    Column("name", "Machine", lambda row: row["name"]),
    Column("model", "Model", lambda row: row["model"]),
    Column("saved", "Last good version", lambda row: (row["saved"] or {}).get("created")),
    Column("job", "Last job", lambda row: (row["job"] or {}).get("verb")),
    Column("heard", "Last heard of", lambda row: row["heard"]),
)


async def show_all(ask: Ask) -> Response:
    """All machines of this server."""
    rows = (await ask.get(path("machines")))["machines"]
    return ask.show("machines.html", list=listed(rows, _COLUMNS, ask.fields, _text))


def _text(row: dict[str, Any]) -> str:
    saved = (row["saved"] or {}).get("image", "")
    return " ".join([row["name"], row["model"], saved, row["address"] or "", *row["macs"]])


async def show(ask: Ask) -> Response:
    """One machine."""
    machine = await ask.get(path("machines", ask.at("machine")))
    jobs = (await ask.get(path("jobs")))["jobs"]
    sessions = (await ask.get(path("sessions")))["sessions"]
    name = machine["name"]
    return ask.show(
        "machine.html",
        machine=machine,
        disks=disks_of(machine),
        jobs=[each for each in reversed(jobs) if each["machine"] == name][:20],
        sessions=[each for each in reversed(sessions) if each["machine"] == name][:20],
    )


def disks_of(machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The disks that a machine has told of when it was here last; it may have told anything."""
    said = machine["hardware"].get("disks")
    disks = [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []
    return [
        {
            "path": str(each.get("path", ""))[:128],
            "model": str(each.get("model", ""))[:128],
            "serial": str(each.get("serial", ""))[:128],
            "size": words.number(each.get("size")),
        }
        for each in disks[:64]
    ]
