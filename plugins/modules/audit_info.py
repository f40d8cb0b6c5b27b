#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: read the audit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_info
short_description: Read who did what through the control service
description:
  - Each action of a person is a line, refusals included, that the service writes and nobody changes
    through it.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  most:
    description: How many lines, the newest, 1 to 10000.
    type: int
    default: 100
  before:
    description: Lines that came before the one with this number.
    type: int
  machine:
    description: Of these, the lines about this machine alone.
    type: str
"""

EXAMPLES = r"""
- name: Read the last hundred lines
  slipway.imaging.audit_info:
  become: true
  register: found
"""

RETURN = r"""
lines:
  description:
    - The lines, oldest first, each with C(number), C(at), C(who), C(role), C(where), C(verb),
      C(subject), C(outcome), C(before) and C(after).
  type: list
  elements: dict
  returned: success
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name


def look(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines."""
    wanted = None if params["machine"] is None else check_name(params["machine"], "machine")
    found = AdminApi(params["admin_socket"]).audit(params["most"], params["before"])
    return [line for line in found if wanted in (None, line["subject"].partition(",")[0])]


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "most": {"type": "int", "default": 100},
            "before": {"type": "int"},
            "machine": {"type": "str"},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, lines=look(module.params))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
