# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: machines from a CSV of names and MAC addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_list import machines
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import (
    known_machines,
    words,
)

DOCUMENTATION = r"""
name: machine_list
short_description: Machines from a CSV of names and MAC addresses
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - The first line names the columns, C(name), C(macs), C(ip) and C(groups); the first two are
    needed. Comma, semicolon or tab separates, or what Excel's C(sep=;) says; several MAC addresses
    or groups are separated by spaces.
  - Empty lines and lines that begin with C(#) are passed over, also before the first.
  - One wrong line refuses the list as a whole; all wrong lines are named.
options:
  _input:
    description: The text of the file.
    type: str
    required: true
  machines:
    description: The variables of all machines of the inventory.
    type: list
    elements: dict
    required: true
  taken:
    description: Names of all hosts and groups of the inventory.
    type: list
    elements: str
    required: true
  groups:
    description: Groups of those whose line names none, as a list or with commas between them.
    type: raw
"""

EXAMPLES = r"""
- name: Read a list
  ansible.builtin.set_fact:
    new: "{{ text | slipway.imaging.machine_list([], []) }}"
  vars:
    text: "{{ lookup('slipway.imaging.csv_text', 'pcs.csv') }}"
"""

RETURN = r"""
_value:
  description: Machines with C(name), C(groups) and C(vars), for M(slipway.imaging.machine_file).
  type: list
  elements: dict
"""


def machine_list(
    text: str,
    known: Iterable[Mapping[str, Any]],
    taken: Iterable[str],
    groups: str | Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return the machines of a list."""
    try:
        return machines(text, known_machines(known, []), taken, words(groups))
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"machine_list": machine_list}
