"""The queue of registrations as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import (
    Known,
    findings,
)

_HEADING = ("ID", "NAME", "STATE", "MAC", "MODEL", "SERIAL", "FROM", "SINCE (UTC)", "NOTE")


def table(queue: Sequence[Mapping[str, Any]], known: Sequence[Known]) -> list[str]:
    """Return the queue as lines for a person."""
    if not queue:
        return ["No PC waits to be registered."]
    rows = [_HEADING, *(_row(pc, queue, known) for pc in queue)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(
    pc: Mapping[str, Any], queue: Sequence[Mapping[str, Any]], known: Sequence[Known]
) -> tuple[str, ...]:
    hardware = pc["hardware"]
    notes = [each.text for each in findings(pc, queue, known)]
    if pc["refused_reports"]:
        notes.append(
            f"{pc['refused_reports']} reports of another PC with its MAC were refused, the last one"
            f" from {clean(pc['refused_from'], 40)}"
        )
    if pc["state"] == "approved":
        notes = [f"as {clean(pc['machine'], 63)}"]
    elif pc["reason"]:
        notes.append(clean(pc["reason"], 128))
    return (
        clean(pc["id"], 16),
        clean(pc["name"], 63),
        clean(pc["state"], 16),
        " ".join(clean(mac, 17) for mac in pc["macs"]),
        clean(f"{hardware.get('vendor', '')} {hardware.get('model', '')}", 40),
        clean(pc["serial"] or "", 32),
        clean(pc["address"] or "", 40),
        clean(pc["created"])[:16].replace("T", " "),
        "; ".join(notes),
    )
