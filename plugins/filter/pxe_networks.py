# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the networks that boot from an image server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _pxe_network

DOCUMENTATION = r"""
name: pxe_networks
short_description: The networks that boot from an image server
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Checks the settings of the role P(slipway.imaging.pxe_server#role) against each other and
    against the server's facts, and returns what its templates need.
  - Fails with everything that is wrong, in one message.
options:
  _input:
    description:
      - The keys C(mode), C(interface), C(netmask), C(range), C(router), C(dns), C(subnets) as the
        role's variables of these names, C(server), by which machines know the server, and
        C(machine_ips), the fixed address of each machine that has one.
    type: dict
    required: true
  facts:
    description: The variable C(ansible_facts) of the image server.
    type: dict
    required: true
positional: [facts]
"""

EXAMPLES = r"""
- name: Show the networks
  ansible.builtin.debug:
    msg: "{{ settings | slipway.imaging.pxe_networks(ansible_facts) }}"
  vars:
    settings: {mode: proxy, interface: eno1}
"""

RETURN = r"""
_value:
  description:
    - The key C(own), and C(subnets), a list. Each network has the keys C(tag), C(interface),
      C(server), C(address), C(netmask), C(first), C(last), C(router) and C(dns).
  type: dict
"""


def pxe_networks(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked networks as plain values."""
    try:
        return _pxe_network.parse(settings, _pxe_network.Host(facts.values())).as_dict()
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return the filter by its name."""
        return {"pxe_networks": pxe_networks}
