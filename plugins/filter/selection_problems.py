# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what can't be meant by a selection of machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible_collections.slipway.imaging.plugins.plugin_utils._selection import Selection

DOCUMENTATION = r"""
name: selection_problems
short_description: What can't be meant by a selection of machines
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Looks at C(--limit) with Ansible's own parser. Ansible itself only warns of a name that no host
    and no group has, also where that name was to be spared (V(room_a:!pc1l)).
  - Says so when a limit selects all machines, however it is written, unless it names each of them.
options:
  _input:
    description: The hosts that Ansible selected, C(ansible_play_hosts_all) of a play on V(all).
    type: list
    elements: str
    required: true
  groups:
    description: The variable C(groups).
    type: dict
    required: true
  limit:
    description: The variable C(ansible_limit), V(none) where no limit was given.
    type: str
    required: true
  required:
    description: Whether it is a problem that there is no limit.
    type: bool
    default: false
  everything:
    description: Whether all machines are meant.
    type: bool
    default: false
positional: [groups, limit]
"""

EXAMPLES = r"""
- name: Refuse what can't be meant
  ansible.builtin.assert:
    that: problems | length == 0
  vars:
    problems: "{{ ansible_play_hosts_all | slipway.imaging.selection_problems(groups, 'pc1') }}"
"""

RETURN = r"""
_value:
  description: Sentences, each with its remedy.
  type: list
  elements: str
"""


def selection_problems(
    selected: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    limit: str | None,
    required: bool = False,
    everything: bool = False,
) -> list[str]:
    """Return what can't be meant."""
    selection = Selection(groups, limit)
    return list(selection.problems(selected, required=required, everything=everything))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"selection_problems": selection_problems}
