# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: how Ansible reaches a machine that has checked in, and nobody else."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_host_key,
    check_name,
    clip,
)

DOCUMENTATION = r"""
name: session_connection
short_description: How Ansible reaches the machine of a session
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Turns a session whose machine has checked in into what the connection
    P(slipway.imaging.session#connection) needs to reach that machine and nobody else.
options:
  _input:
    description: The session, as M(slipway.imaging.session_info) returns it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how to connect
  ansible.builtin.debug:
    msg: "{{ seen.session | slipway.imaging.session_connection }}"
"""

RETURN = r"""
_value:
  description:
    - The keys C(host), C(host_key), C(host_key_type) and C(mark), which names its control socket.
  type: dict
"""


def session_connection(session: Mapping[str, Any]) -> dict[str, str]:
    """Return what the connection to the machine of a session needs, checked."""
    try:
        machine = check_name(session["machine"], "machine")
        key = check_host_key(session["host_key"])
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure
    try:
        address = str(ipaddress.ip_address(str(session["address"])))
    except ValueError as failure:
        raise AnsibleFilterError(
            f"{clip(session['address'])} is no address that {machine} can have."
        ) from failure
    # The connection of an earlier session of this machine has another name.
    mark = hashlib.sha256(str(session["id"]).encode()).hexdigest()[:12]
    return {
        "host": address,
        "host_key": key,
        "host_key_type": key.split()[0],
        "mark": mark,
    }


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        """Return the filter by its name."""
        return {"session_connection": session_connection}
