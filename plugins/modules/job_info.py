#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: look at the jobs that PCs' users started, and at orders for next boots."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job_info
short_description: Look at the jobs that PCs' users started, and at orders for next boots
description:
  - Returns the jobs of the last days, which came of items that somebody chose in a machine's menu
    or of orders that an administrator gave with M(slipway.imaging.boot_once).
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  id:
    description: This job alone, with its session.
    type: str
  machine:
    description: Jobs and orders of this machine alone.
    type: str
"""

EXAMPLES = r"""
- name: List the jobs
  slipway.imaging.job_info:
  become: true
  register: found
"""

RETURN = r"""
jobs:
  description: The jobs, oldest first.
  type: list
  elements: dict
  returned: success
session:
  description: The session of the job with O(id); null while it has none.
  type: dict
  returned: when O(id) was given
next_boots:
  description: Orders for next boots that wait.
  type: list
  elements: dict
  returned: when O(id) was not given
runner:
  description: Whether the job runner of the image server is there.
  type: bool
  returned: when O(id) was not given
strangers:
  description:
    - Addresses that asked for what is a machine's without being the machine's, and got nothing,
      since the service was started.
  type: list
  elements: dict
  returned: when O(id) was not given
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name


def of_one(api: AdminApi, identifier: str) -> dict[str, Any]:
    """Return one job with its session."""
    job = api.job(identifier)
    session = api.session(job["session"]) if job["session"] else None
    return {"changed": False, "jobs": [job], "session": session}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"id": {"type": "str"}, "machine": {"type": "str"}, **ADMIN_ARGUMENTS},
        mutually_exclusive=[("id", "machine")],
        supports_check_mode=True,
    )
    api = AdminApi(module.params["admin_socket"])
    try:
        if module.params["id"]:
            module.exit_json(**of_one(api, module.params["id"]))
        machine = module.params["machine"]
        wanted = None if machine is None else check_name(machine, "machine")
        found = api.jobs()
        orders = [each for each in api.next_boots() if each["state"] == "armed"]
        module.exit_json(
            changed=False,
            jobs=[job for job in found["jobs"] if wanted in (None, job["machine"])],
            next_boots=[each for each in orders if wanted in (None, each["machine"])],
            runner=found["runner"],
            strangers=[
                each for each in found.get("strangers", []) if wanted in (None, each["machine"])
            ],
        )
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
