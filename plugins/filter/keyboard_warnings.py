# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what can't be typed of a password at PCs with certain keyboards."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _keyboards

DOCUMENTATION = r"""
name: keyboard_warnings
short_description: What can't be typed of a password at PCs with certain keyboards
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Says which characters a layout lacks, and which have another place where nobody said the layout.
options:
  _input:
    description: The password.
    type: str
    required: true
  keyboards:
    description: The C(machine_keyboard) of each machine; empty where nobody said it.
    type: list
    elements: str
    required: true
positional: [keyboards]
"""

EXAMPLES = r"""
- name: Show what can't be typed
  ansible.builtin.debug:
    msg: "{{ password | slipway.imaging.keyboard_warnings(['de', '']) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each.
  type: list
  elements: str
"""


def keyboard_warnings(password: str, keyboards: Iterable[object]) -> list[str]:
    """Return a sentence for each layout that makes trouble."""
    try:
        return list(_keyboards.warnings(str(password), keyboards))
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"keyboard_warnings": keyboard_warnings}
