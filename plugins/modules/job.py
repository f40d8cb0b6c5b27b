#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: cancel a job that a PC's user started."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job
short_description: Cancel a job that a PC's user started
description:
  - A job is what becomes of an item that somebody chose in a machine's menu. Jobs begin at the
    machine, so this module can only end them.
  - The job's playbook is stopped and its session ended; the machine is told, and restarts.
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
    description: Identifier of the job, as M(slipway.imaging.job_info) lists it.
    type: str
    required: true
  state:
    description: V(absent) cancels it.
    type: str
    choices: [absent]
    default: absent
"""

EXAMPLES = r"""
- name: Cancel a job
  slipway.imaging.job:
    id: 0123456789abcdef
    state: absent
  become: true
"""

RETURN = r"""
job:
  description: The job.
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
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    api = AdminApi(module.params["admin_socket"])
    try:
        job = api.job(module.params["id"])
        changed = job["state"] != "ended"
        if changed and not module.check_mode:
            job = api.cancel_job(module.params["id"])
        module.exit_json(changed=changed, job=job)
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
