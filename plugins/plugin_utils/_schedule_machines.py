# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the patterns of schedules name: machines of one image server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

_Hostvars = Mapping[str, Mapping[str, Any]]


def schedule_machines(schedules: Any, hostvars: _Hostvars, server: str) -> Any:
    """Return schedules with names in the place of patterns.

    What can't be meant stays as it is: the service names all of it.
    """
    if not isinstance(schedules, Mapping):
        return schedules
    groups = hostvars[server]["groups"] if server in hostvars else {}
    manager = _manager(groups)
    return {str(name): _named(said, manager, hostvars, server) for name, said in schedules.items()}


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


def _named(said: Any, manager: InventoryManager, hostvars: _Hostvars, server: str) -> Any:
    if not isinstance(said, Mapping) or not isinstance(said.get("machines"), str):
        return said
    pattern = str(said["machines"])
    return {**said, "machines": _matching(pattern, manager, hostvars, server), "pattern": pattern}


def _matching(
    pattern: str, manager: InventoryManager, hostvars: _Hostvars, server: str
) -> list[str]:
    if not pattern.strip():
        # Ansible would take that for everybody.
        return []
    try:
        hosts = [host.name for host in manager.get_hosts(pattern)]
    except AnsibleError:
        return []
    machines = set(manager.groups["machines"].get_hosts()) if "machines" in manager.groups else ()
    names = {host.name for host in machines}
    return sorted(name for name in hosts if name in names and _server_of(hostvars[name]) == server)


def _server_of(variables: Mapping[str, Any]) -> str:
    servers = list(variables["groups"].get("image_servers", []))
    return str(variables.get("machine_image_server", servers[0] if servers else ""))


def _manager(groups: Mapping[str, Any]) -> InventoryManager:
    """Return an inventory that has these groups and hosts, and nothing else."""
    manager = InventoryManager(DataLoader(), parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(str(host), group=group)
    return manager
