#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: see whether a machine is on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_presence
short_description: See whether a machine is on
description:
  - Asks a machine by ping and at the TCP ports 445, 22, 135 and 3389, for two seconds. Any answer
    says that it is on, be it a refusal. That its card answers ARP says nothing.
  - It is looked for where the inventory, its lease and the neighbour table of this host say. An
    answer of another card than the machine's is none.
  - One that is in the imaging environment is told by the SSH host key of its last session.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  machine:
    description: Name of the machine.
    type: str
    required: true
  macs:
    description: MAC addresses of its network cards.
    type: list
    elements: str
    required: true
  addresses:
    description: IPv4 addresses that it may have, beside those that the service knows.
    type: list
    elements: str
    default: []
  seconds:
    description: How long to wait for an answer.
    type: float
    default: 2
  must_be_off:
    description: Fail with the error C(was_on) if it is on, in a system of its own.
    type: bool
    default: false
requirements:
  - The program C(ip) of iproute2, and C(ssh-keyscan).
"""

EXAMPLES = r"""
- name: See whether pc1 is on
  slipway.imaging.machine_presence:
    machine: pc1
    macs: ["52:54:00:77:00:01"]
  delegate_to: img
  become: true
"""

RETURN = r"""
is_on:
  description: Whether it answered.
  type: bool
  returned: success
address:
  description: Where it answered; empty if it did not.
  type: str
  returned: success
how:
  description: What it answered to, C(ping) or such as C(TCP 445).
  type: str
  returned: success
environment:
  description: Whether it is in the imaging environment that had its last session.
  type: bool
  returned: success
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import (
    SlipwayError,
    clean,
    fail,
)
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_macs, check_name
from ansible_collections.slipway.imaging.plugins.module_utils._presence import (
    Neighbour,
    is_of,
    knock,
    parse_neighbours,
    places,
)


class Presence:
    """Looks once."""

    def __init__(self, module: AnsibleModule) -> None:
        """Keep the module for its parameters and its way to run programs."""
        self.module = module

    def look(self) -> dict[str, object]:
        """Return what is seen of the machine."""
        params = self.module.params
        name, macs = check_name(params["machine"], "machine"), list(check_macs(params["macs"]))
        known = AdminApi(params["admin_socket"]).whereabouts(name, macs)
        where = places([*params["addresses"], *known["addresses"]], self._neighbours(), macs)
        answers = knock(where, params["seconds"])
        neighbours = self._neighbours()
        mine = [answer for answer in answers if is_of(answer, neighbours, macs)]
        if not mine:
            return {"is_on": False, "address": "", "how": "", "environment": False}
        first = mine[0]
        environment = self._is_environment(first.address, known["host_key"])
        if params["must_be_off"] and not environment:
            raise SlipwayError(
                f"{name} is on, in a system of its own: it answers at {first.address} "
                f"({first.how}), and a machine that runs hears no magic packet. Nothing was "
                "changed.",
                "Shut it down, then order it again.",
                "was_on",
            )
        return {
            "is_on": True,
            "address": first.address,
            "how": first.how,
            "environment": environment,
        }

    def _neighbours(self) -> list[Neighbour]:
        ip = self.module.get_bin_path("ip", required=True)
        code, output, problem = self.module.run_command([ip, "-j", "-4", "neigh"])
        if code:
            raise SlipwayError(
                f"ip neigh ended with {code}: {clean(problem) or 'without a word'}; whether "
                f"{self.module.params['machine']} is on is not known, and nothing was done to it.",
                "See whether `ip -j -4 neigh` works for the user that runs this.",
                "no_neighbours",
            )
        return parse_neighbours(output)

    def _is_environment(self, address: str, host_key: str | None) -> bool:
        scan = self.module.get_bin_path("ssh-keyscan")
        if host_key is None or scan is None:
            return False
        kind = host_key.split()[0]
        words = [scan, "-T", "3", "-t", kind.removeprefix("ssh-"), address]
        _code, output, _problem = self.module.run_command(words)
        return any(line.split()[1:3] == host_key.split()[:2] for line in output.splitlines())


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "str", "required": True},
            "macs": {"type": "list", "elements": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "float", "default": 2},
            "must_be_off": {"type": "bool", "default": False},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **Presence(module).look())
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
