#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: send magic packets from the interface in a machine's subnet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wake
short_description: Wake a machine over the network
description:
  - Sends wake-on-LAN magic packets from the interface that is in the machine's subnet.
  - Sending a packet changes nothing on the host that sends it, and nobody can know whether it woke
    a machine. So this module never reports a change.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is sent.
  diff_mode:
    support: none
    details: Nothing changes on the host that sends.
  idempotent:
    support: full
options:
  macs:
    description: MAC addresses of the machine's network cards.
    type: list
    elements: str
    required: true
  interface:
    description: Interface to send from.
    type: str
  interfaces:
    description:
      - Interfaces in the networks where the machine may be. Packets are sent from each of them when
        neither O(interface) nor O(machine_address) says which is the one.
    type: list
    elements: str
    default: []
  password:
    description:
      - SecureOn password of the machine's card, six bytes such as V(00:11:22:aa:bb:cc), or four
        such as V(192.168.1.1). Such a card wakes for a packet that ends with it, and for no other.
    type: str
  source_address:
    description: IPv4 address (or name that resolves to it) of this host to send from.
    type: str
  machine_address:
    description:
      - IPv4 address that the machine will have.
      - The interface in whose subnet it lies is used, unless O(interface) names one.
    type: str
  broadcast:
    description: Address to send to. The broadcast address of the chosen subnet when left out.
    type: str
  port:
    description: UDP port.
    type: int
    default: 9
  repeat:
    description: How many packets each card gets.
    type: int
    default: 1
requirements:
  - The program C(ip) of iproute2.
  - The Python library wakeonlan is used where it is installed, as in the service's virtual
    environment on the image server. Elsewhere Python alone does.
"""

EXAMPLES = r"""
- name: Wake pc1 from the image server
  slipway.imaging.wake:
    macs: ["52:54:00:77:00:01"]
    machine_address: 10.77.0.21
  delegate_to: img

- name: Wake pc2 from a host that is in its subnet
  slipway.imaging.wake:
    macs: ["52:54:00:77:00:02"]
  delegate_to: printserver

- name: Wake pc3 in a subnet whose router lets directed broadcasts through
  slipway.imaging.wake:
    macs: ["52:54:00:77:00:03"]
    source_address: 10.77.0.1
    broadcast: 10.78.0.255
  delegate_to: img
"""

RETURN = r"""
packets:
  description: How many packets were sent.
  type: int
  returned: success
macs:
  description: MAC addresses the packets were for, in canonical form.
  type: list
  elements: str
  returned: success
interface:
  description: Interface they were sent from; with several, their names with commas.
  type: str
  returned: success
source_address:
  description: Address they were sent from, of each interface.
  type: str
  returned: success
broadcast:
  description: Address they were sent to, from each interface.
  type: str
  returned: success
port:
  description: UDP port they were sent to.
  type: int
  returned: success
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_macs
from ansible_collections.slipway.imaging.plugins.module_utils._wake import (
    choose_routes,
    parse_addresses,
    parse_password,
    send,
)


class Wake:
    """Send magic packets, once."""

    def __init__(self, module: AnsibleModule) -> None:
        """Keep the module for its parameters and its way to run programs."""
        self.module = module

    def run(self) -> dict[str, object]:
        """Choose the route, send, and say what was sent."""
        params = self.module.params
        macs = list(check_macs(params["macs"]))
        if not macs:
            raise SlipwayError(
                "There is no MAC address to wake.", "Set machine_macs of the machine.", "no_macs"
            )
        ip = self.module.get_bin_path("ip", required=True)
        _code, output, _problem = self.module.run_command(
            [ip, "-j", "-4", "address"], check_rc=True
        )
        password = parse_password(params["password"]) if params["password"] else b""
        routes = choose_routes(
            parse_addresses(output),
            params["interfaces"],
            interface=params["interface"],
            source_address=params["source_address"],
            machine_address=params["machine_address"],
            broadcast=params["broadcast"],
        )
        packets = 0
        if not self.module.check_mode:
            packets = sum(
                send(route, macs, params["port"], params["repeat"], password) for route in routes
            )
        return {
            "changed": False,
            "packets": packets,
            "macs": macs,
            "interface": ", ".join(route.interface for route in routes),
            "source_address": ", ".join(route.source_address for route in routes),
            "broadcast": ", ".join(route.broadcast for route in routes),
            "port": params["port"],
        }


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "macs": {"type": "list", "elements": "str", "required": True},
            "interface": {"type": "str"},
            "interfaces": {"type": "list", "elements": "str", "default": []},
            "password": {"type": "str", "no_log": True},
            "source_address": {"type": "str"},
            "machine_address": {"type": "str"},
            "broadcast": {"type": "str"},
            "port": {"type": "int", "default": 9},
            "repeat": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**Wake(module).run())
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
