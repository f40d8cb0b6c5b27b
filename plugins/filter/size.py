# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: an amount of bytes as the agent shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, size

DOCUMENTATION = r"""
name: size
short_description: An amount of bytes as the agent shows it
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Returns three digits and a unit in powers of 1000, as on a PC's screen and everywhere else in
    the project. P(ansible.builtin.human_readable#filter) counts in powers of 1024 and calls them
    the same.
options:
  _input:
    description: Bytes. What is no amount is taken for none.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Say how large a disk is
  ansible.builtin.debug:
    msg: "{{ 1460000000 | slipway.imaging.size }}" # 1.46 GB
"""

RETURN = r"""
_value:
  description: Such as V(1.46 GB).
  type: str
"""


def shown(value: Any) -> str:
    """Return the amount for people."""
    return size(number({"bytes": value}, "bytes"))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], str]]:
        """Return the filter by its name."""
        return {"size": shown}
