#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: approve or refuse a PC that asks to be registered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registration
short_description: Approve or refuse a PC that asks to be registered
description:
  - Tells the PC what was decided. An approved PC reboots into its menu within seconds, so its
    file, its address and its menu must be there before; C(playbooks/register.yml) does all of it.
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
  id:
    description: Identifier of the registration.
    type: str
    required: true
  state:
    description: A refused PC can be approved later. An approved one can't be refused.
    type: str
    choices: [approved, refused]
    required: true
  machine:
    description: Name of the machine that the PC is from now on. Required for O(state=approved).
    type: str
  reason:
    description: What the PC shows when it is refused.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Send a PC away
  slipway.imaging.registration:
    id: 0123456789abcdef
    state: refused
    reason: Not one of ours
  become: true
"""

RETURN = r"""
registration:
  description: The registration as it is now; in check mode, as it was.
  type: dict
  returned: success
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import (
    SlipwayError,
    clean,
    fail,
)
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name, clip


def decide(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Decide what is not decided so already."""
    api = AdminApi(params["admin_socket"])
    found = [entry for entry in api.registrations() if entry["id"] == params["id"]]
    if not found:
        raise SlipwayError(
            f"There is no registration {clip(params['id'])}.",
            "playbooks/register.yml lists them; a PC that was given up is forgotten after a week.",
            "no_such_registration",
        )
    if params["state"] == "approved":
        verb = "approve"
        body = {"machine": check_name(params["machine"], "machine")}
    else:
        verb = "refuse"
        body = {"reason": clean(params["reason"], 128)}
    wanted = {"state": params["state"], **body}
    if all(found[0][key] == value for key, value in wanted.items()):
        return {"changed": False, "registration": found[0]}
    if check_mode:
        return {"changed": True, "registration": found[0]}
    return {"changed": True, "registration": api.decide(params["id"], verb, body)}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["approved", "refused"], "required": True},
            "machine": {"type": "str"},
            "reason": {"type": "str", "default": ""},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "approved", ("machine",))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**decide(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
