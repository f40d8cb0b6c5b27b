#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: open and end sessions of machines in the imaging environment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session
short_description: Open or end a session of a machine in the imaging environment
description:
  - A session is one stay of one machine in the imaging environment, from the request to the leave.
    While one is requested, the machine boots the imaging environment instead of its menu.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
    details: With O(state=present), whether the service would grant the session is not asked.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Ending a session that has ended changes nothing.
      - With O(state=present) each run wants a session of its own, and is refused while the machine
        has one, because two runs must never share a machine's disks.
options:
  state:
    description:
      - V(present) opens a session.
      - V(absent) ends the one named by O(id), or whatever sessions O(machine) has open.
    type: str
    choices: [present, absent]
    default: present
  machine:
    description: Name of the machine. Required for O(state=present).
    type: str
  id:
    description: Identifier of the session to end.
    type: str
  macs:
    description: MAC addresses of the machine's network cards.
    type: list
    elements: str
  verb:
    description:
      - What the session is for, such as V(backup); its token allows nothing else. The service says
        which there are.
    type: str
  image:
    description:
      - Name of the image that is read or written, or C(NAME@VERSION) to read one version.
      - Needed by every O(verb) but V(service).
    type: str
  ttl:
    description: Seconds that the machine may take to check in.
    type: int
    default: 600
  read_first:
    description:
      - Before a restore the server reads what of the image it did not find sound during the last
        days, V(lately), or all of it, V(always). The latter finds damage that left a file's times
        as they were, and takes as long as reading the image does.
    type: str
    choices: [lately, always]
    default: lately
  job:
    description:
      - The job of the job runner that the session is for. Its machine waits in the imaging
        environment already.
    type: str
  outcome:
    description: What a session that is ended is remembered as.
    type: str
    choices: [done, failed, cancelled]
    default: cancelled
"""

EXAMPLES = r"""
- name: Open a session to save pc1
  slipway.imaging.session:
    machine: pc1
    macs: ["52:54:00:77:00:01"]
    verb: backup
    image: pc1
  delegate_to: img
  become: true

- name: End whatever session pc1 has
  slipway.imaging.session:
    machine: pc1
    state: absent
  delegate_to: img
  become: true
"""

RETURN = r"""
session:
  description: The session that was opened, as the service describes it.
  type: dict
  returned: O(state=present), not in check mode
ended:
  description: The sessions that were ended, or would be in check mode.
  type: list
  elements: dict
  returned: O(state=absent)
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
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_macs,
    check_name,
    split_reference,
)


class Session:
    """Open and end sessions."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        """Keep what is wanted."""
        self.params = params
        self.check_mode = check_mode
        self.api = AdminApi(params["admin_socket"])

    def present(self) -> dict[str, Any]:
        """Open a session."""
        name, version = None, None
        if self.params["image"]:
            name, version = split_reference(self.params["image"])
        if version and self.params["verb"] == "backup":
            raise SlipwayError(
                "A backup makes a new version and can't be told which.",
                f"Say the name of the image alone: {name}.",
                "version_given",
            )
        request = {
            "machine": check_name(self.params["machine"], "machine"),
            "macs": list(check_macs(self.params["macs"])),
            "verb": self.params["verb"],
            "image": name,
            "version": version,
            "ttl_seconds": self.params["ttl"],
        }
        if self.params["read_first"] == "always":
            request["full_check"] = True
        if self.params["job"]:
            request["job"] = self.params["job"]
        if self.check_mode:
            return {"changed": True}
        return {"changed": True, "session": self.api.open_session(request)}

    def absent(self) -> dict[str, Any]:
        """End the session with an identifier, or all open ones of a machine."""
        if self.params["id"]:
            found = [self.api.session(self.params["id"])]
        else:
            found = self.api.open_sessions(check_name(self.params["machine"], "machine"))
        ended = [session for session in found if session["state"] != "ended"]
        if not self.check_mode:
            outcome = self.params["outcome"]
            ended = [self.api.end_session(session["id"], outcome) for session in ended]
        return {"changed": bool(ended), "ended": ended}


def intrusions(sessions: list[dict[str, Any]]) -> list[str]:
    """Return a warning for each session that more than one machine wanted to check in for."""
    return [
        f"{session['refused_checkins']} more check-in(s) for {session['machine']} were"
        f" refused, the last one from {clean(session.get('refused_from'), 60)}. If no machine was"
        " restarted in between, look for a second machine that uses its MAC address."
        for session in sessions
        if session.get("refused_checkins")
    ]


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "machine": {"type": "str"},
            "id": {"type": "str"},
            "macs": {"type": "list", "elements": "str"},
            "verb": {"type": "str"},
            "image": {"type": "str"},
            "ttl": {"type": "int", "default": 600},
            "read_first": {"type": "str", "choices": ["lately", "always"], "default": "lately"},
            "job": {"type": "str"},
            "outcome": {
                "type": "str",
                "choices": ["done", "failed", "cancelled"],
                "default": "cancelled",
            },
            **ADMIN_ARGUMENTS,
        },
        required_if=[
            ("state", "present", ("machine", "macs", "verb")),
            ("state", "absent", ("machine", "id"), True),
        ],
        supports_check_mode=True,
    )
    session = Session(module.params, module.check_mode)
    try:
        result = session.present() if module.params["state"] == "present" else session.absent()
        for warning in intrusions(result.get("ended", [])):
            module.warn(warning)
        module.exit_json(**result)
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
