# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the queue of registrations beside the inventory, as a table and a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._registration_table import table
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import (
    known_machines,
    make_plan,
)

DOCUMENTATION = r"""
name: registration_plan
short_description: What to do with PCs that ask to be registered
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Compares the queue with the machines of the inventory, and says who looks like whom.
  - Turns what the administrator wants into files to write and decisions to tell the service.
    Whatever is wrong with one of them, nothing is planned; one that was decided at the page is
    left alone.
options:
  _input:
    description: What M(slipway.imaging.registration_info) returned.
    type: dict
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
  wishes:
    description: >-
      C(approve), C(refuse) (V(all), identifiers, names or MAC addresses; C(approve) can be
      V(decided), for what was approved at the page, or a
      dictionary with names, or with C(name), C(groups) and C(ip)), C(into) (groups), C(replace),
      C(reason), C(server).
    type: dict
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.set_fact:
    plan: "{{ queue | slipway.imaging.registration_plan(machines, taken, {'approve': 'all'}) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(table), C(approve) (C(id), C(name), C(groups), C(vars), C(replace)), C(refuse) (C(id),
    C(reason)) and C(left), what V(all) leaves to be decided one at a time, and why something that
    was decided can't be.
  type: dict
"""


def registration_plan(
    queue: Mapping[str, Any],
    machines: Iterable[Mapping[str, Any]],
    taken: Iterable[str],
    wishes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return table and plan."""
    known = known_machines(machines, queue["identities"])
    try:
        plan = make_plan(queue["registrations"], known, taken, wishes or {})
    except SlipwayError as failure:
        raise AnsibleFilterError(f"{failure} Nothing was changed.") from failure
    return {
        "table": table(queue["registrations"], known),
        "approve": plan.approve,
        "refuse": plan.refuse,
        "left": plan.left,
    }


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"registration_plan": registration_plan}
