"""Filter: how Ansible reaches a machine that has checked in, and nobody else."""

from __future__ import annotations

import hashlib
import ipaddress
import shlex
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
  - Turns a session whose machine has checked in into a line for a known_hosts file and the
    connection variables that make SSH accept that one host key and nothing else.
  - The control path belongs to the session, so that the master connection of an earlier session
    is never used.
options:
  _input:
    description: The session, as M(slipway.imaging.session_info) returns it.
    type: dict
    required: true
  known_hosts:
    description: Path of the file with the machine's host key on the controller.
    type: path
    required: true
positional: [known_hosts]
"""

EXAMPLES = r"""
- name: Show how to connect
  ansible.builtin.debug:
    msg: "{{ seen.session | slipway.imaging.session_connection('/tmp/known_hosts/pc1') }}"
"""

RETURN = r"""
_value:
  description:
    - The keys C(host), C(known_hosts_line), C(ssh_extra_args) and C(control_path).
  type: dict
"""


def session_connection(session: Mapping[str, Any], known_hosts: str) -> dict[str, str]:
    """Return address, known_hosts line and SSH options for the machine of a session."""
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
    options = {
        "HostKeyAlias": machine,
        "HostKeyAlgorithms": key.split()[0],
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ConnectTimeout": "10",
    }
    mark = hashlib.sha256(str(session["id"]).encode()).hexdigest()[:12]
    return {
        "host": address,
        "known_hosts_line": f"{machine} {key}",
        "ssh_extra_args": " ".join(shlex.quote(f"-o{k}={v}") for k, v in options.items()),
        "control_path": f"%(directory)s/slw-{mark}",
    }


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        """Return the filter by its name."""
        return {"session_connection": session_connection}
