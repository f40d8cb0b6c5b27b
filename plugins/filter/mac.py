# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: a MAC address in its one spelling, and what is wrong with those of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_mac
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_macs import (
    problems,
    shared_with,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_macs import (
    shared_cards as cards_of_several,
)

DOCUMENTATION = r"""
name: mac
short_description: A MAC address in its one spelling
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Returns C(aa:bb:cc:dd:ee:ff), whatever spelling the inventory has. What leaves the inventory
    goes through this filter, C(slipway.imaging.mac), since dnsmasq, file names and the service know
    that spelling alone.
options:
  _input:
    description: >-
      The address, with colons, dashes or dots between pairs, fours (Cisco), sixes (HP) or nothing.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the addresses
  ansible.builtin.debug:
    msg: "{{ machine_macs | map('slipway.imaging.mac') }}"
"""

RETURN = r"""
_value:
  description: The address.
  type: str
"""


def mac(value: object) -> str:
    """Return the address."""
    try:
        return check_mac(value)
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


def mac_problems(names: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with the addresses of machines."""
    return problems(map(str, names), hostvars)


def shared_macs(
    selected: Iterable[str], names: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what selected machines have in common with others."""
    return shared_with({*map(str, selected)}, map(str, names), hostvars)


def shared_cards(names: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the addresses that several machines have."""
    return cards_of_several(map(str, names), hostvars)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "mac": mac,
            "mac_problems": mac_problems,
            "shared_cards": shared_cards,
            "shared_macs": shared_macs,
        }
