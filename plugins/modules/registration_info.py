#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: list the PCs that ask to be registered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registration_info
short_description: List the PCs that ask to be registered
description:
  - Returns the queue of registrations, and what machines said about themselves when they last
    checked in, by which a replaced card or mainboard is recognised.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
"""

EXAMPLES = r"""
- name: List the PCs that ask to be registered
  slipway.imaging.registration_info:
  become: true
  register: queue
"""

RETURN = r"""
registrations:
  description: The queue, oldest first.
  type: list
  elements: dict
  returned: success
identities:
  description: Machines by name, with C(macs), C(uuid) and C(serial).
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
    module = AnsibleModule(argument_spec=ADMIN_ARGUMENTS, supports_check_mode=True)
    api = AdminApi(module.params["admin_socket"])
    try:
        module.exit_json(
            changed=False, registrations=api.registrations(), identities=api.identities()
        )
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
