#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: look at the trash and at what was done last to look after images."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_info
short_description: Look at the trash, and at what was done last to look after images
description:
  - The service prunes, collects and reads by itself. This says what it did last.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options: {}
"""

EXAMPLES = r"""
- name: Look after those who look after
  slipway.imaging.store_info:
  delegate_to: img
  become: true
"""

RETURN = r"""
trash:
  description: What was deleted, by whom, why, and until when it can be taken back.
  type: list
  elements: dict
  returned: success
upkeep:
  description: The last C(prune), C(collection) and C(scrub), null where there was none.
  type: dict
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
    try:
        api = AdminApi(module.params["admin_socket"])
        module.exit_json(changed=False, trash=api.trash(), upkeep=api.upkeep())
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
