# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which other servers of a host stand in the way of DHCP and TFTP, by what `ss` prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean

_DHCP, _TFTP, _PXE = 67, 69, 4011
_PORTS = {"full": (_DHCP, _TFTP), "proxy": (_DHCP, _TFTP, _PXE), "none": (_TFTP,)}
_LOCAL = re.compile(r"(?P<address>[^%\s]+?)(?:%(?P<device>\S+))?:(?P<port>[0-9]+)\Z")
_USER = re.compile(r'"(?P<name>[^"]*)",pid=(?P<pid>[0-9]+)')
_EVERYWHERE = ("0.0.0.0", "*", "[::]")

_REMEDY = {
    _DHCP: "Stop and disable that DHCP server; or keep it off the machines' interface (a dnsmasq by"
    " `interface=` and `bind-dynamic`); or leave addresses to it: pxe_server_dhcp_mode none, and"
    " playbooks/dhcp_options.yml prints what to tell it.",
    _TFTP: "Stop and disable that TFTP server: Slipway brings its own.",
    _PXE: "Stop and disable that boot server.",
}


@dataclass(frozen=True)
class Listener:
    """One socket: where it listens, on which card if on one alone, and whose it is."""

    address: str
    device: str
    port: int
    name: str
    pid: str


def clashes(
    lines: Iterable[str],
    mode: str,
    networks: Sequence[Mapping[str, Any]],
    own_pids: Iterable[str],
) -> list[str]:
    """Return a sentence with its remedy for each socket that Slipway's dnsmasq could not have.

    What listens on other cards or addresses alone (virtual machines have such a dnsmasq) is in
    nobody's way, and neither is a name server.
    """
    devices = {str(network["interface"]) for network in networks}
    addresses = {*_EVERYWHERE, *(str(network["server"]) for network in networks)}
    own = {pid.strip() for pid in own_pids}
    found = []
    for one in _read(lines):
        if one.port not in _PORTS.get(mode, ()) or one.pid in own:
            continue
        if one.address in addresses and (not one.device or one.device in devices):
            where = f" on {one.device}" if one.device else ""
            found.append(
                f"{one.name} (process {one.pid}) has UDP port {one.port}{where}, and nothing was"
                f" changed. Remedy: {_REMEDY[one.port]}"
            )
    return list(dict.fromkeys(found))


def _read(lines: Iterable[str]) -> Iterator[Listener]:
    """Yield what lines like `UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:* users:(...)` say."""
    for line in lines:
        words = line.split(maxsplit=5)
        local = _LOCAL.match(words[3]) if len(words) >= 5 else None
        if local is None:
            continue
        user = _USER.search(words[5]) if len(words) > 5 else None
        yield Listener(
            local["address"],
            local["device"] or "",
            int(local["port"]),
            clean(user["name"], 30) if user else "A program",
            user["pid"] if user else "?",
        )
