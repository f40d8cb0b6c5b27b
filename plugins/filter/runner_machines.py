# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what the job runner of an image server has to know of each machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import (
    SUFFIX,
    MachineFile,
    render,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._selection import server_of

DOCUMENTATION = r"""
name: runner_machines
short_description: What the job runner of an image server has to know of each machine
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Makes the files of the inventory that the job runner uses, one for each machine that the image
    server serves, in the form that the inventory plugin C(slipway.imaging.machines) reads.
  - The variables are C(machine_*), C(disk_*) and C(imaging_session_*), with the values that they
    have for the machine here; they are plain text there. Passphrases (C(disk_luks_keys)) stay on
    the controller, and so does what describes the controller itself.
options:
  _input:
    description: Names of the machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  server:
    description: Name of the image server.
    type: str
    required: true
positional: [hostvars, server]
"""

EXAMPLES = r"""
- name: Write the files
  slipway.imaging.text_folder:
    path: /etc/slipway/runner/inventory/machines.d
    files: "{{ groups['machines'] | slipway.imaging.runner_machines(hostvars, 'img') }}"
"""

RETURN = r"""
_value:
  description: Files by name, each with C(content) and C(label).
  type: dict
"""

_PREFIXES = ("machine_", "disk_", "imaging_session_")
# Secrets, and what is true of the controller alone. The runner says its own.
_STAY_HERE = {
    "disk_luks_keys",
    "imaging_session_admin_socket",
    "imaging_session_after",
    "imaging_session_job",
    "imaging_session_known_hosts_dir",
    "imaging_session_server",
    "imaging_session_server_python",
    "imaging_session_system_connection",
    "imaging_session_wake",
    "machine_system_connection",
}


def runner_machines(
    names: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], server: str
) -> dict[str, Any]:
    """Return the files of the machines that `server` serves."""
    files = {}
    for name in map(str, names):
        variables = hostvars[name]
        if server_of(variables) != server:
            continue
        wanted = {
            key: variables[key]
            for key in sorted(variables)
            if key.startswith(_PREFIXES) and key not in _STAY_HERE
        }
        try:
            # Through JSON: what Ansible knows about a value beside its text stays behind.
            plain = json.loads(json.dumps(wanted | {"machine_image_server": server}))
            content = render(MachineFile(name, (), plain)).decode("ascii")
        except (SlipwayError, TypeError, ValueError) as failure:
            raise AnsibleFilterError(f"{name} can't be told to the job runner: {failure}") from None
        files[f"{name}{SUFFIX}"] = {"content": content, "label": name}
    return files


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return the filter by its name."""
        return {"runner_machines": runner_machines}
