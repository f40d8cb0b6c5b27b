"""Inventory plugin: the machines whose files lie in ``machines.d``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: machines
short_description: Machines that were approved or imported, one JSON file each
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Reads C(machines.d/NAME.json) beside its own configuration file, which is C(machines.yml).
  - Each file is an object with the keys C(name), C(groups) and C(vars); the machine is in group
    C(machines) and in the groups named.
  - Values are set as plain text. What looks like a template in them is never evaluated, wherever
    they are used, for much of it is what PCs said about themselves.
  - A file that can't be used is named in a warning, and its machine stays in C(machines) with the
    variable C(machine_problem) alone, so that playbooks refuse it by name and nothing takes it for
    a machine that was removed.
  - Keep the C(ignore_patterns) of the project's C(ansible.cfg), else Ansible's own YAML plugin
    looks into these files too, and warns.
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [slipway.imaging.machines]
"""

EXAMPLES = r"""
# inventory/site/machines.yml
plugin: slipway.imaging.machines

# inventory/site/machines.d/pc3.json, as playbooks/register.yml writes it:
# {"name": "pc3", "groups": ["room_3"], "vars": {"machine_macs": ["52:54:00:77:00:03"]}}
"""

from pathlib import Path
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import (
    CONFIG_NAMES,
    FOLDER,
    BrokenFile,
    MachineFile,
    read_all,
)

MACHINES = "machines"


class InventoryModule(BaseInventoryPlugin):
    """What Ansible loads."""

    NAME = "slipway.imaging.machines"
    # Said although it is the default: no value becomes a template.
    trusted_by_default = False

    def verify_file(self, path: str) -> bool:
        """Tell whether a source is this plugin's configuration."""
        return super().verify_file(path) and Path(path).name in CONFIG_NAMES

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add every machine."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.inventory.add_group(MACHINES)
        for found in read_all(Path(path).parent / FOLDER):
            try:
                self._add(self._usable(found))
            except SlipwayError as problem:
                self._broken(found, problem)

    def _usable(self, found: MachineFile | BrokenFile) -> MachineFile:
        if isinstance(found, BrokenFile):
            raise found.problem
        known = self.inventory.hosts.keys() | self.inventory.groups.keys()
        if found.name in known:
            raise SlipwayError(
                f"{found.name} is in the inventory already, as a host or a group of another file.",
                "Remove or rename one of the two.",
                "machine_exists",
            )
        if clash := sorted({found.name, *self.inventory.hosts} & {*found.groups}):
            raise SlipwayError(
                f"{clash[0]} would be a machine and a group.", "Name another group.", "bad_group"
            )
        return found

    def _add(self, machine: MachineFile) -> None:
        for group in (MACHINES, *machine.groups):
            self.inventory.add_group(group)
            self.inventory.add_host(machine.name, group)
        for key, value in machine.vars.items():
            self.inventory.set_variable(machine.name, key, value)

    def _broken(self, found: MachineFile | BrokenFile, problem: SlipwayError) -> None:
        name = found.machine if isinstance(found, BrokenFile) else found.name
        shown = f"{found.path.stem!a}" if isinstance(found, BrokenFile) else found.name
        self.display.warning(f"Machine file {FOLDER}/{shown}.json: {problem}")
        if name and name not in self.inventory.groups:
            if name not in self.inventory.hosts:
                self.inventory.add_host(name, MACHINES)
            self.inventory.set_variable(name, "machine_problem", str(problem))
