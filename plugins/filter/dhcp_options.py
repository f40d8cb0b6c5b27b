# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what a DHCP server that is not ours must be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _dhcp_options

DOCUMENTATION = r"""
name: dhcp_options
short_description: What a DHCP server that is not ours must be told
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Returns lines of configuration for ISC dhcpd, Kea, Windows DHCP and dnsmasq, by which BIOS PCs,
    x86-64 UEFI PCs and iPXE find the image server.
options:
  _input:
    description: The networks, as P(slipway.imaging.pxe_networks#filter) returns them.
    type: dict
    required: true
  server:
    description: IPv4 address of the image server.
    type: str
    required: true
  url:
    description: URL of iPXE's first script.
    type: str
    required: true
  kinds:
    description: Names of servers, of V(isc), V(kea), V(windows) and V(dnsmasq); all when empty.
    type: list
    elements: str
    default: []
  bios:
    description:
      - What BIOS machines load. The file of C(most), and the file C(other) that those with one of
        the cards C(other_macs) load instead, such as V(52:54:00:12:34:56).
    type: dict
    required: true
  uefi:
    description: The same of x86-64 UEFI machines.
    type: dict
    required: true
positional: [server, url, kinds]
"""

EXAMPLES = r"""
- name: Show the lines for Kea
  ansible.builtin.debug:
    msg: >-
      {{ networks | slipway.imaging.dhcp_options(address, url, ['kea'], bios=bios, uefi=uefi) }}
  vars:
    bios: {most: undionly.kpxe, other: grubpc.0, other_macs: []}
    uefi: {most: snponly.efi, other: shimx64.efi, other_macs: ["52:54:00:12:34:56"]}
    address: 192.0.2.10
    url: http://192.0.2.10/boot.ipxe
"""

RETURN = r"""
_value:
  description: The lines, with a heading for each server.
  type: list
  elements: str
"""


def dhcp_options(
    networks: Mapping[str, Any],
    server: str,
    url: str,
    kinds: Sequence[str] = (),
    *,
    bios: Mapping[str, Any],
    uefi: Mapping[str, Any],
) -> list[str]:
    """Return the lines of configuration."""
    try:
        loaders = {
            firmware: _dhcp_options.Loaders(
                str(told["most"]), str(told["other"]), tuple(told["other_macs"])
            )
            for firmware, told in (("bios", bios), ("uefi", uefi))
        }
        return _dhcp_options.lines(networks, server, url, kinds, loaders)
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"dhcp_options": dhcp_options}
