#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: say what a machine does at its next boot, once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_once
short_description: Say what a machine does at its next boot, once
description:
  - The machine's next boot over the network leads to an item of its own menu, without a
    question in the menu. The boot after that is an ordinary one, whatever happens.
  - An item with a password asks for it at the PC all the same, unless O(without_password) is true.
  - Only the machine itself can use the order up, as far as the service can tell by its address.
  - The order is used up when the machine is told, before anything is done. So it can't loop.
  - While a playbook has a session for the machine, the session comes first.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) gives the order; one that waits already is replaced.
      - V(absent) takes it back.
    type: str
    choices: [present, absent]
    default: present
  machine:
    description: Name of the machine.
    type: str
    required: true
  macs:
    description: MAC addresses of the machine's network cards. Needed for O(state=present).
    type: list
    elements: str
  item:
    description: Id of an item of the machine's menu. Needed for O(state=present).
    type: str
  image:
    description:
      - For an item with a list of images, the one to take, C(NAME) or C(NAME@VERSION). Without it
        the machine's user is asked.
    type: str
  without_password:
    description: Whether the item's password is not asked for, this once.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Restore pc1 when somebody switches it on
  slipway.imaging.boot_once:
    machine: pc1
    macs: ["52:54:00:77:00:01"]
    item: restore
  become: true
"""

RETURN = r"""
next_boot:
  description: The order that waits, or that was taken back.
  type: dict
  returned: when there is one, not in check mode
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_macs,
    check_name,
    clip,
    split_reference,
)


class BootOnce:
    """Give an order or take it back."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        """Keep what is wanted."""
        self.params = params
        self.check_mode = check_mode
        self.api = AdminApi(params["admin_socket"])
        self.machine = check_name(params["machine"], "machine")

    def present(self) -> dict[str, Any]:
        """Give the order unless the same one waits already."""
        item, macs = self.params["item"], list(check_macs(self.params["macs"]))
        if item not in (known := self.api.menu_items(self.machine)):
            raise SlipwayError(
                f"The menu of {self.machine} has no item {clip(item)}.",
                f"It has {', '.join(known)}. Choose one of these, or add it to boot_menu_items and"
                " run playbooks/menus.yml. Nothing was changed.",
                "no_such_item",
            )
        wanted = {"machine": self.machine, "macs": macs, "item": item, "image": None}
        if self.params["without_password"]:
            wanted["without_password"] = True
        if self.params["image"]:
            name, version = split_reference(self.params["image"])
            wanted["image"] = name if version is None else f"{name}@{version}"
        before = self._armed()
        if before is not None and {"without_password": False} | wanted == _kept(before):
            return {"changed": False, "next_boot": before}
        if self.check_mode:
            return {"changed": True}
        return {"changed": True, "next_boot": self.api.set_next_boot(wanted)}

    def absent(self) -> dict[str, Any]:
        """Take the order back."""
        before = self._armed()
        if before is not None and not self.check_mode:
            self.api.cancel_next_boot(self.machine)
        return {"changed": before is not None} | ({"next_boot": before} if before else {})

    def _armed(self) -> dict[str, Any] | None:
        waiting = (each for each in self.api.next_boots() if each["state"] == "armed")
        return next((each for each in waiting if each["machine"] == self.machine), None)


def _kept(order: dict[str, Any]) -> dict[str, Any]:
    """Return what makes an order what it is."""
    keys = ("machine", "macs", "item", "image")
    return {key: order[key] for key in keys} | {
        "without_password": order.get("without_password", False)
    }


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "machine": {"type": "str", "required": True},
            "macs": {"type": "list", "elements": "str"},
            "item": {"type": "str"},
            "image": {"type": "str"},
            "without_password": {"type": "bool", "default": False},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "present", ("macs", "item"))],
        supports_check_mode=True,
    )
    try:
        order = BootOnce(module.params, module.check_mode)
        present = module.params["state"] == "present"
        module.exit_json(**(order.present() if present else order.absent()))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
