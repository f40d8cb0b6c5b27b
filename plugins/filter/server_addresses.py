# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: by which addresses machines reach an image server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _pxe_network

DOCUMENTATION = r"""
name: server_addresses
short_description: By which addresses machines reach an image server
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - A name becomes the address of the server's interface, since machines may have no name server.
  - Machines in the network of another interface reach the server by the address of that one.
options:
  _input:
    description: The variable C(ansible_facts) of the image server.
    type: dict
    required: true
  address:
    description: The variable C(image_server_address).
    type: str
    required: true
  interface:
    description: The variable C(pxe_server_interface); a name stays a name when it is empty.
    type: str
    default: ""
  subnets:
    description: The variable C(pxe_server_subnets).
    type: list
    elements: dict
    default: []
positional: [address, interface, subnets]
"""

EXAMPLES = r"""
- name: Show them
  ansible.builtin.debug:
    msg: "{{ ansible_facts | slipway.imaging.server_addresses('imgserver', 'eno1') }}"
"""

RETURN = r"""
_value:
  description:
    - C(main), the address of most machines, and C(apart), a dictionary from each network that has
      another one to that.
  type: dict
"""


def server_addresses(
    facts: Mapping[str, Any],
    address: str,
    interface: str = "",
    subnets: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the server's addresses; fixed addresses and ranges are looked at elsewhere."""
    # A role's arguments are looked at before its preflight has gathered facts.
    if not interface or "interfaces" not in facts:
        return {"main": address, "apart": {}}
    settings = {"mode": "none", "interface": interface, "server": address, "subnets": list(subnets)}
    try:
        found = _pxe_network.parse(settings, _pxe_network.Host(facts.values()))
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure
    main = found.own.server
    apart = {str(net.network): net.server for net in found.subnets if net.server != main}
    return {"main": main, "apart": apart}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return the filter by its name."""
        return {"server_addresses": server_addresses}
