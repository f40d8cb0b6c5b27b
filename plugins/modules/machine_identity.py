#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: forget what a machine said about itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_identity
short_description: Forget the UUID and the serial number that a machine is known by
description:
  - The control service remembers what a machine's firmware said at its sessions, and refuses a PC
    with its MAC address that says something else.
  - A machine with a new mainboard is another PC by that. Forget the old one, and the next session
    tells the service anew.
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
    description: V(absent) forgets it.
    type: str
    choices: [absent]
    required: true
  machine:
    description: Name of the machine.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Let pc1 come with its new mainboard
  slipway.imaging.machine_identity:
    machine: pc1
    state: absent
  delegate_to: img
  become: true
"""

RETURN = r"""
identity:
  description: What the machine was known by.
  type: dict
  returned: when there was something
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name


def forget(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Forget a machine's identity unless there is none."""
    api = AdminApi(params["admin_socket"])
    machine = check_name(params["machine"], "machine")
    known = [each for each in api.identities() if each["machine"] == machine]
    if known and not check_mode:
        api.forget_identity(machine)
    return {"changed": bool(known)} | ({"identity": known[0]} if known else {})


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["absent"], "required": True},
            "machine": {"type": "str", "required": True},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**forget(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
