# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines: all of them, and one."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from .. import charts, words
from ..asking import Ask
from ..lists import ROWS, Column, Listing, asked, paged
from ..service import Refused, path

_COLUMNS = (
    Column("name", "Machine"),
    Column("model", "Model"),
    Column("saved", "Last good version"),
    Column("job", "Last job"),
    Column("heard", "Last heard of"),
)


# So many backups are drawn.
_SHOWN = 30
# So many may be marked.
MOST = 200
# So many jobs and sessions are listed, the newest first.
_LISTED = 20


async def show_all(ask: Ask) -> Response:
    """All machines of this server."""
    wanted = asked(ask.fields, ["group"])
    wanted["group"] = wanted["group"][:63]
    found = await ask.get(path("machines"), **wanted)
    shown = paged(found, found["machines"], _COLUMNS, ask.fields, ["group", "mark"])
    return ask.show(
        "machines.html",
        list=shown,
        groups=found["groups"],
        reading=found["reading"],
        elsewhere=await _marked_elsewhere(ask, shown, wanted),
        most=MOST,
    )


async def _marked_elsewhere(ask: Ask, shown: Listing, wanted: dict[str, str]) -> list[str]:
    """The names on the list's other pages, where all that were found are marked."""
    if shown.query["mark"] != "found" or not ROWS < shown.found <= MOST:
        return []
    del wanted["page"]
    here = {row["name"] for row in shown.rows}
    found = (await ask.get(path("machines"), **wanted))["machines"]
    return [each["name"] for each in found if each["name"] not in here]


async def show(ask: Ask) -> Response:
    """One machine."""
    machine = await ask.get(path("machines", ask.at("machine")))
    name = machine["name"]
    jobs = (await ask.get(path("jobs"), machine=name))["jobs"]
    sessions = (await ask.get(path("sessions"), machine=name))["sessions"]
    versions = await _versions(ask, machine)
    took = {
        each["version"]: each["seconds"]
        for each in (await ask.get(path("backups", name)))["backups"]
    }
    return ask.show(
        "machine.html",
        machine=machine,
        disks=disks_of(machine),
        sizes=charts.columns(
            [
                (each["bytes"], f"{each['version']}: {words.size(each['bytes'])}")
                for each in versions
            ]
        ),
        most=max((each["bytes"] for each in versions), default=0),
        durations=charts.columns(
            [(seconds, f"{version}: {words.span(seconds)}") for version, seconds in took.items()],
            "green",
        ),
        longest=max(took.values(), default=0.0),
        jobs=list(reversed(jobs))[:_LISTED],
        sessions=list(reversed(sessions))[:_LISTED],
    )


async def _versions(ask: Ask, machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The last versions of the machine in the image that has its newest, oldest first."""
    if machine["saved"] is None:
        return []
    try:
        found = (await ask.get(path("images", machine["saved"]["image"])))["versions"]
    except Refused:
        return []
    newest = machine["saved"]["version"]
    [own] = {each["machine"] for each in found if each["version"] == newest} or {""}
    return [each for each in reversed(found) if each["machine"] == own][-_SHOWN:]


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
