# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the patterns of schedules name: machines of one image server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._selection import (
    Selection,
    server_of,
)

_Hostvars = Mapping[str, Mapping[str, Any]]


def schedule_machines(schedules: Any, hostvars: _Hostvars, server: str) -> Any:
    """Return schedules with names in the place of patterns.

    What can't be meant stays as it is: the service names all of it.
    """
    if not isinstance(schedules, Mapping):
        return schedules
    everybody = Selection(hostvars[server]["groups"] if server in hostvars else {}, None)
    return {
        str(name): _named(said, everybody, hostvars, server) for name, said in schedules.items()
    }


def schedule_relays(schedules: Any, hostvars: _Hostvars, server: str) -> list[str]:
    """Return the machines of schedules that the server can't wake by itself."""
    found = schedule_machines(schedules, hostvars, server)
    names = {
        name
        for said in (found.values() if isinstance(found, Mapping) else ())
        if isinstance(said, Mapping) and "pattern" in said
        for name in said["machines"]
    }
    return sorted(name for name in names if hostvars[name].get("machine_wake_relay"))


def _named(said: Any, everybody: Selection, hostvars: _Hostvars, server: str) -> Any:
    if not isinstance(said, Mapping) or not isinstance(said.get("machines"), str):
        return said
    pattern = str(said["machines"])
    machines = _matching(pattern, everybody, hostvars, server)
    found = {**said, "machines": machines, "pattern": pattern}
    if unknown := everybody.unknown_names(pattern):
        found["unknown"] = unknown
    return found


def _matching(pattern: str, everybody: Selection, hostvars: _Hostvars, server: str) -> list[str]:
    if not pattern.strip():
        # Ansible would take that for everybody.
        return []
    return sorted(
        name for name in everybody.machines(pattern) if server_of(hostvars[name]) == server
    )
