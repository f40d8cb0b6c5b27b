#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: look at sessions, and wait for one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_info
short_description: Look at sessions of machines in the imaging environment
description:
  - Returns sessions as the control service remembers them, open and ended ones.
  - With O(id), it can wait until the machine has checked in, the image was read through, the
    agent's job is over, or the session has ended.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  id:
    description: Identifier of one session.
    type: str
  machine:
    description: Sessions of this machine alone.
    type: str
  until:
    description:
      - What to wait for. A session that ends is waited for no longer.
      - V(finished) waits for the last word of the agent's job.
      - Needs O(id).
    type: str
    choices: [checked_in, image_checked, finished, ended]
  wait:
    description: Seconds to wait for it. The session is returned as it is when they are over.
    type: int
    default: 25
"""

EXAMPLES = r"""
- name: Wait up to a minute until the machine has checked in
  slipway.imaging.session_info:
    id: "{{ opened.session.id }}"
    until: checked_in
    wait: 60
  delegate_to: img
  become: true
  register: seen
"""

RETURN = r"""
sessions:
  description: The sessions, oldest first.
  type: list
  elements: dict
  returned: success
session:
  description: The session with O(id).
  type: dict
  returned: when O(id) was given
reached:
  description: Whether what O(until) names is the case; false when the wait or the session ended.
  type: bool
  returned: when O(until) was given
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
    reached,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_name


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what the service says about sessions."""
    api = AdminApi(params["admin_socket"])
    if not params["id"]:
        sessions = api.sessions()
        if params["machine"] is not None:
            machine = check_name(params["machine"], "machine")
            sessions = [session for session in sessions if session["machine"] == machine]
        return {"changed": False, "sessions": sessions}
    until = params["until"]
    session = api.session(params["id"], params["wait"] if until else 0, until or "")
    result: dict[str, Any] = {"changed": False, "sessions": [session], "session": session}
    if until:
        over = session["state"] == "ended" and until != "ended"
        result["reached"] = not over and reached(session, until)
    return result


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "str"},
            "machine": {"type": "str"},
            "until": {
                "type": "str",
                "choices": ["checked_in", "image_checked", "finished", "ended"],
            },
            "wait": {"type": "int", "default": 25},
            **ADMIN_ARGUMENTS,
        },
        mutually_exclusive=[("id", "machine")],
        required_by={"until": ("id",)},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**look(module.params))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
