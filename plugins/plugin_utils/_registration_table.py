# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of registrations as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import (
    Known,
    findings,
)


def table(queue: Sequence[Mapping[str, Any]], known: Sequence[Known]) -> list[str]:
    """Return a few lines for each PC: what it asks for, what it is, what to think of it."""
    lines = [line for pc in queue for line in _lines(pc, queue, known)]
    return lines or ["No PC waits to be registered."]


def _lines(
    pc: Mapping[str, Any], queue: Sequence[Mapping[str, Any]], known: Sequence[Known]
) -> Iterator[str]:
    hardware = pc["hardware"]
    since = clean(pc["created"])[:16].replace("T", " ")
    yield (
        f"{clean(pc['id'], 16)}  {clean(pc['name'], 63)}  {_state(pc)}, since {since} UTC,"
        f" from {clean(pc['address'] or 'nowhere', 40)}"
    )
    words = [clean(f"{hardware.get('vendor', '')} {hardware.get('model', '')}", 60) or "PC"]
    if pc["serial"]:
        words.append(f"serial number {clean(pc['serial'], 40)}")
    words += [clean(mac, 17) for mac in pc["macs"]]
    yield f"- {', '.join(words)}"
    if pc["state"] != "approved":
        yield from (f"- {each.text}" for each in findings(pc, queue, known))
    if pc["refused_reports"]:
        yield (
            f"- {pc['refused_reports']} reports of another PC with its MAC were refused,"
            f" the last one from {clean(pc['refused_from'], 40)}"
        )


def _state(pc: Mapping[str, Any]) -> str:
    if pc["state"] == "approved":
        return f"approved as {clean(pc['machine'], 63)}"
    if pc["state"] == "refused" and pc["reason"]:
        return f"refused ({clean(pc['reason'], 128)})"
    if pc["state"] == "waiting" and pc.get("wish"):
        return f"waiting, to be {clean(pc['wish'], 63)} as {clean(pc['wished_by'], 64)} has decided"
    return clean(pc["state"], 16)
