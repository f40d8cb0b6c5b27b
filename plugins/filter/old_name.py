# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the value of a variable that has another name now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.utils.display import Display

DOCUMENTATION = r"""
name: old_name
short_description: The value of a variable that has another name now
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Returns the value as it is, and warns that the name it was given by will be gone in the next
    release.
options:
  _input:
    description: The value.
    type: raw
    required: true
  old:
    description: The name by which it was given.
    type: str
    required: true
  new:
    description: The name of today.
    type: str
    required: true
positional: [old, new]
"""

EXAMPLES = r"""
- name: Take both names
  ansible.builtin.debug:
    msg: "{{ disk_a if disk_a is defined else a | slipway.imaging.old_name('a', 'disk_a') }}"
"""

RETURN = r"""
_value:
  description: The value.
  type: raw
"""


def old_name(value: Any, old: str, new: str) -> Any:
    """Return the value after a warning."""
    Display().warning(f"The variable {old} is called {new} now; the next release knows no other.")
    return value


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"old_name": old_name}
