#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: write the file of a machine into the inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_file
short_description: Write or remove the file of a machine in the inventory
description:
  - One JSON file for each machine, which the inventory plugin P(slipway.imaging.machines#inventory)
    reads. It runs on the controller, where the inventory lies.
  - A file is written whole or not at all, and never in the place of another machine's.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  folder:
    description: The folder C(machines.d) of the inventory.
    type: path
    required: true
  name:
    description: Name of the machine.
    type: str
    required: true
  state:
    description: V(absent) removes the file. What the image server keeps for the machine goes
      with the next run of C(playbooks/site.yml); its images stay.
    type: str
    choices: [present, absent]
    default: present
  groups:
    description: Groups beside C(machines).
    type: list
    elements: str
    default: []
  vars:
    description: Variables of the machine. They are kept as they are and never evaluated.
    type: dict
    default: {}
  replace:
    description:
      - Without it, a file that says something else about the machine is left alone, and the task
        fails.
      - With it, O(vars) take the place of those with the same name in a file that must be there.
        Its groups stay unless O(groups) names others.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Add a machine
  slipway.imaging.machine_file:
    folder: "{{ inventory_dir }}/machines.d"
    name: pc3
    groups: [room_3]
    vars:
      machine_macs: ["52:54:00:77:00:03"]
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
"""

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import (
    SUFFIX,
    MachineFile,
    create,
    merged,
    overwrite,
    read,
    remove,
    render,
)
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name


class File:
    """One machine's file."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        """Keep what is wanted."""
        self.params = params
        self.check_mode = check_mode
        name = check_name(params["name"], "machine")
        self.path = Path(params["folder"]) / f"{name}{SUFFIX}"
        self.wanted = MachineFile(name, tuple(params["groups"]), params["vars"])

    def ensure(self) -> dict[str, Any]:
        """Make the file what it should be."""
        before = read(self.path)
        if self.params["state"] == "absent":
            return self._result(before, None, lambda: remove(self.path))
        if self.params["replace"]:
            after = merged(before, self.wanted)
            return self._result(before, after, lambda: overwrite(self.path, after))
        if before is not None and render(before) != render(self.wanted):
            raise SlipwayError(
                f"{self.path} is there already and says something else; it was left alone.",
                "Choose another name for the new machine, or remove the file of one that is gone.",
                "machine_exists",
            )
        return self._result(before, self.wanted, lambda: create(self.path, self.wanted))

    def _result(self, before: Any, after: Any, write: Any) -> dict[str, Any]:
        texts = [render(item).decode() if item else "" for item in (before, after)]
        changed = texts[0] != texts[1]
        if changed and not self.check_mode:
            write()
        headers = {"before_header": str(self.path), "after_header": str(self.path)}
        diff = {"before": texts[0], "after": texts[1], **headers}
        return {"changed": changed, "path": str(self.path), "diff": diff}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "vars": {"type": "dict", "default": {}},
            "replace": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**File(module.params, module.check_mode).ensure())
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
