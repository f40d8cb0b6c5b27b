#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: order a job for a machine that is off, or cancel one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job
short_description: Order a job for a machine that is off, or cancel a job
description:
  - A job is one wish for one machine. The job runner of the image server plays it; what is ordered
    here wakes its machine, boots it, works on it and lets it go. This module does not wait for it.
  - A cancelled job's playbook is stopped and its session ended; a machine that waits is told, and
    restarts.
  - What can't work is refused before anything is kept, also in check mode.
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
    details: The same order for a machine whose job has not ended changes nothing.
options:
  state:
    description: V(present) orders a job, V(absent) cancels one.
    type: str
    choices: [present, absent]
    default: absent
  id:
    description: Identifier of the job to cancel, as M(slipway.imaging.job_info) lists it.
    type: str
  machine:
    description: Name of the machine, whose menu the image server must have.
    type: str
  verb:
    description: What to do.
    type: str
    choices: [backup, restore, verify, wake]
  image:
    description:
      - C(NAME) or C(NAME@VERSION); C(NAME) alone for a backup.
      - The machine's own name when left out, which a restore does not do.
    type: str
  options:
    description:
      - What the playbook is told, by the names of its variables, such as C(disk_unclean).
      - Which of them there are says the service.
    type: dict
    default: {}
  after:
    description:
      - What the machine does afterwards. V(as_found) turns it off, since it was off.
    type: str
    choices: [as_found, poweroff, reboot]
    default: as_found
"""

EXAMPLES = r"""
- name: Back pc1 up
  slipway.imaging.job:
    state: present
    machine: pc1
    verb: backup
  become: true

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

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    split_reference,
)

_SAME = ("verb", "image", "options", "after")


def order(api: AdminApi, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Order a job, unless the machine's open job is that already."""
    name = check_name(params["machine"], "machine")
    wanted = {key: params[key] for key in ("verb", "options", "after")} | {"machine": name}
    if params["image"]:
        image, version = split_reference(params["image"])
        wanted["image"] = image if version is None else f"{image}@{version}"
    for job in api.jobs()["jobs"]:
        if job["machine"] == name and job["state"] != "ended" and _is_same(job, wanted):
            return {"changed": False, "job": job}
    return {"changed": True, "job": api.order_job(wanted, check_mode)}


def _is_same(job: dict[str, Any], wanted: dict[str, Any]) -> bool:
    image = None if wanted["verb"] == "wake" else wanted["machine"]
    return job["origin"] == "order" and all(
        job[key] == ({"image": image} | wanted)[key] for key in _SAME
    )


def cancel(api: AdminApi, identifier: str, check_mode: bool) -> dict[str, Any]:
    """End a job that has not ended."""
    before = api.job(identifier)
    changed = before["state"] != "ended"
    job = api.cancel_job(identifier) if changed and not check_mode else before
    return {"changed": changed, "job": job}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "absent"},
            "id": {"type": "str"},
            "machine": {"type": "str"},
            "verb": {"type": "str", "choices": ["backup", "restore", "verify", "wake"]},
            "image": {"type": "str"},
            "options": {"type": "dict", "default": {}},
            "after": {
                "type": "str",
                "choices": ["as_found", "poweroff", "reboot"],
                "default": "as_found",
            },
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "absent", ("id",)), ("state", "present", ("machine", "verb"))],
        mutually_exclusive=[("id", "machine")],
        supports_check_mode=True,
    )
    api, params = AdminApi(module.params["admin_socket"]), module.params
    try:
        if params["state"] == "present":
            module.exit_json(**order(api, params, module.check_mode))
        module.exit_json(**cancel(api, params["id"], module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
