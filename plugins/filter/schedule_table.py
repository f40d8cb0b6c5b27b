# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: schedules, or one with its machines, as tables for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: schedule_table
short_description: Schedules, or one with its machines, as tables for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each schedule, with its next window and how the last ones ended. For a single one
    how each machine's last night ended follows.
options:
  _input:
    description: The schedules that M(slipway.imaging.schedule_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the schedules
  ansible.builtin.debug:
    msg: "{{ found.schedules | slipway.imaging.schedule_table | join('\n') }}"
"""

RETURN = r"""
_value:
  description: The lines of the tables, headings first.
  type: list
  elements: str
"""

_SCHEDULES = ("SCHEDULE", "DOES", "MACHINES", "DAYS", "WINDOW", "NEXT (UTC)", "STATE")
_WINDOWS = ("SCHEDULE", "WINDOW", "BEGAN (UTC)", "BY", "OUTCOMES")
_NIGHTS = ("MACHINE", "OUTCOME", "TRIES", "JOB", "MESSAGE")


def schedule_table(schedules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of tables of schedules and their windows."""
    found = list(schedules)
    if not found:
        return ["There are no schedules: policy_schedules of the inventory makes them."]
    lines = table([_SCHEDULES, *map(_schedule, found)])
    windows = [_window(each, window) for each in found for window in each["windows"]]
    if windows:
        lines += ["", *table([_WINDOWS, *windows])]
    for each in found:
        nights = each.get("nights") or []
        if nights:
            last = nights[-1]
            lines += ["", f"{clean(each['name'], 32)}, {clean(last['key'], 30)}:"]
            lines += table([_NIGHTS, *map(_night, last["machines"])], {2})
    return lines


def _schedule(each: Mapping[str, Any]) -> tuple[str, ...]:
    following = each["next"]
    states = ["open now"] if each["open"] else []
    if each["paused_until"]:
        states.append(f"paused until {_time(each['paused_until'])}")
    if each["skips"] and each["skips"] in (each["open"], (following or {}).get("key")):
        states.append(f"leaves {clean(each['skips'], 30)} out")
    return (
        clean(each["name"], 32),
        clean(each["verb"], 20),
        str(len(each["machines"])),
        " ".join(clean(day, 3) for day in each["days"]),
        f"{clean(each['from'], 5)}-{clean(each['to'], 5)} {clean(each['time_zone'], 40)}",
        _time(following["begins"]) if following else "none",
        ", ".join(states) or "waits",
    )


def _window(each: Mapping[str, Any], window: Mapping[str, Any]) -> tuple[str, ...]:
    said = [f"{count} {clean(what, 20)}" for what, count in window["counts"].items()]
    if window["missed"]:
        said.insert(0, "MISSED: the server was down")
    return (
        clean(each["name"], 32),
        clean(window["key"], 30),
        _time(window["begins"]),
        clean(window["by"], 64) or "the plan",
        ", ".join(said) or "nobody was due",
    )


def _night(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        clean(each["machine"], 63),
        clean(each["outcome"] or each["state"], 20),
        str(each["tries"]),
        clean(each["job"] or "", 16),
        " ".join(filter(None, (clean(each["message"], 300), clean(each["remedy"], 200)))),
    )


def _time(text: str) -> str:
    return clean(text, 30)[:16].replace("T", " ")


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"schedule_table": schedule_table}
