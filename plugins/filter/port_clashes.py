# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: which other servers of a host stand in the way of DHCP and TFTP."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.imaging.plugins.plugin_utils._udp_ports import clashes

DOCUMENTATION = r"""
name: port_clashes
short_description: Other servers that stand in the way of DHCP and TFTP
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Reads what C(ss --no-header --listening --udp --numeric --processes) printed on the server.
options:
  _input:
    description: Its lines.
    type: list
    elements: str
    required: true
  mode:
    description: The role's C(pxe_server_dhcp_mode).
    type: str
    required: true
  networks:
    description: The networks, as P(slipway.imaging.pxe_networks#filter) returns them, in one list.
    type: list
    elements: dict
    required: true
  own_pids:
    description: Processes that are Slipway's own.
    type: list
    elements: str
    required: true
positional: [mode, networks, own_pids]
"""

EXAMPLES = r"""
- name: Show who is in the way
  ansible.builtin.debug:
    msg: "{{ sockets.stdout_lines | slipway.imaging.port_clashes('full', networks, []) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each, with its remedy.
  type: list
  elements: str
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"port_clashes": clashes}
