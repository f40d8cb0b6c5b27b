#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: look at schedules, their last windows and the next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule_info
short_description: Look at schedules, their last windows and the next
description:
  - Schedules are the inventory's, C(policy_schedules); C(policy.yml) hands them to the server.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  name:
    description: This schedule alone, with how each machine's nights ended.
    type: str
"""

EXAMPLES = r"""
- name: Look at the schedules
  slipway.imaging.schedule_info:
  become: true
  register: found
"""

RETURN = r"""
schedules:
  description: The schedules, each with its windows, oldest first.
  type: list
  elements: dict
  returned: success
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, **ADMIN_ARGUMENTS}, supports_check_mode=True
    )
    api, name = AdminApi(module.params["admin_socket"]), module.params["name"]
    try:
        module.exit_json(changed=False, schedules=[api.schedule(name)] if name else api.schedules())
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
