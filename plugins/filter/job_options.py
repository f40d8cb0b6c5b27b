# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: of a machine's variables, those that an ordered job is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_int,
    check_type_list,
    check_type_str,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean

DOCUMENTATION = r"""
name: job_options
short_description: Of a machine's variables, those that an ordered job is told
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Picks the variables that the job's verb knows, and makes of C(-e) on a command line what they
    are. Variables that name disks of the machine are in the job runner's inventory already;
    passphrases stay on the controller.
options:
  _input:
    description: The variables of the machine.
    type: dict
    required: true
  verb:
    description: What the job does.
    type: str
    required: true
positional: [verb]
"""

EXAMPLES = r"""
- name: Back pc1 up as its variables say
  slipway.imaging.job:
    state: present
    machine: pc1
    verb: backup
    options: "{{ hostvars['pc1'] | slipway.imaging.job_options('backup') }}"
"""

RETURN = r"""
_value:
  description: The options.
  type: dict
"""

_READING = {
    "disk_patience": check_type_int,
    "disk_only": check_type_list,
    "disk_partitions": check_type_list,
    "disk_read_first": check_type_str,
}
# The service's own list says the same, and refuses what is not in it.
OPTIONS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "backup": {
        "disk_patience": check_type_int,
        "disk_whole": check_type_list,
        "disk_unclean": check_type_str,
        "disk_keep_gaps": check_type_bool,
        "disk_max_unreadable": check_type_int,
        "disk_rescue_minutes": check_type_int,
    },
    "restore": {
        **_READING,
        "disk_read_back": check_type_bool,
        "disk_allow_degraded": check_type_bool,
    },
    "verify": _READING,
    "wake": {},
}


def job_options(variables: Mapping[str, Any], verb: str) -> dict[str, Any]:
    """Return the options, each in its type."""
    found = {}
    for name, convert in OPTIONS.get(verb, {}).items():
        if name in variables:
            try:
                found[name] = convert(variables[name])
            except (TypeError, ValueError) as failure:
                raise AnsibleFilterError(
                    f"{name} can't be meant: {clean(failure, 200)}. Nothing was ordered."
                ) from failure
    return found


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return the filter by its name."""
        return {"job_options": job_options}
