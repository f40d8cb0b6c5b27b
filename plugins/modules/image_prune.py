#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: move to the trash what no rule keeps."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_prune
short_description: Move to the trash what no rule keeps
description:
  - The rules are those of the inventory, which the role C(policy) hands to the
    server. In check mode the plan is shown, and nothing is moved.
  - A plan that would remove more versions than were made since the last run, plus ten or five per
    cent of all, waits until its digest is said.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  confirm:
    description: The digest of the plan that is meant.
    type: str
"""

EXAMPLES = r"""
- name: Look at what would go
  slipway.imaging.image_prune:
  delegate_to: img
  become: true
  check_mode: true
  diff: true
"""

RETURN = r"""
removed:
  description: The versions that were moved to the trash, or would be.
  type: list
  elements: str
  returned: success
digest:
  description: What names this plan and no other.
  type: str
  returned: success
waits:
  description: Whether the plan wants to be confirmed.
  type: bool
  returned: in check mode
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def prune(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Prune, or say what would be moved."""
    api = AdminApi(params["admin_socket"])
    plan = api.prune_plan()
    doomed = [f"{each['name']}@{each['version']}" for each in plan["remove"]]
    result = {"digest": plan["digest"], "waits": plan["waits"]}
    if not check_mode:
        done = api.prune(params["confirm"])
        doomed, result = done["removed"], {"digest": done["digest"]}
    diff = {
        "before_header": "versions that no rule keeps",
        "after_header": "in the trash",
        "before": "".join(f"{each}\n" for each in doomed),
        "after": "",
    }
    return result | {"changed": bool(doomed), "removed": doomed, "diff": [diff]}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"confirm": {"type": "str"}, **ADMIN_ARGUMENTS}, supports_check_mode=True
    )
    try:
        module.exit_json(**prune(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
