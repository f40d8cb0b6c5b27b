# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what a comparison found, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._differences import sentences

DOCUMENTATION = r"""
name: differences
short_description: What disks and image differ in, in sentences
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One sentence for each partition that differs.
options:
  _input:
    description: What M(slipway.imaging.disk_compare) or M(slipway.imaging.disk_restore) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what differs
  ansible.builtin.debug:
    msg: "{{ compared | slipway.imaging.differences }}"
"""

RETURN = r"""
_value:
  description: Sentences like C(/dev/sda disk0:1 (ext4)) and how much of it differs.
  type: list
  elements: str
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"differences": sentences}
