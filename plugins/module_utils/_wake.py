# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wake-on-LAN from the right interface: choosing where to send from, and sending."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

_HEX = re.compile(r"[0-9A-Fa-f]{2}([:.-]?[0-9A-Fa-f]{2}){5}")


@dataclass(frozen=True)
class Address:
    """One IPv4 address of this host."""

    interface: str
    address: str
    prefix: int

    @property
    def network(self) -> ipaddress.IPv4Network:
        """Return the subnet that the interface is in."""
        return ipaddress.IPv4Network(f"{self.address}/{self.prefix}", strict=False)

    def __str__(self) -> str:
        """Return the address as a user would look for it."""
        return f"{self.address}/{self.prefix} ({self.interface})"


@dataclass(frozen=True)
class Route:
    """Where magic packets are sent from, and to which broadcast address."""

    interface: str
    source_address: str
    broadcast: str


def parse_addresses(text: str) -> list[Address]:
    """Read the output of ``ip -j -4 address``."""
    return [
        Address(link["ifname"], info["local"], info["prefixlen"])
        for link in json.loads(text)
        for info in link.get("addr_info", [])
        if info.get("family") == "inet"
    ]


def choose_route(
    addresses: Sequence[Address],
    *,
    interface: str | None = None,
    source_address: str | None = None,
    machine_address: str | None = None,
    broadcast: str | None = None,
    resolve: Callable[[str], str] = socket.gethostbyname,
) -> Route:
    """Choose the interface in the machine's subnet.

    An interface that is named wins, then the one whose subnet holds the machine's address, then
    the one that carries `source_address`, then the only one there is.
    """
    if interface:
        chosen = _first([a for a in addresses if a.interface == interface])
        problem = f"This host has no interface {interface!r} with an IPv4 address."
    else:
        outside = [a for a in addresses if not ipaddress.IPv4Address(a.address).is_loopback]
        chosen = _in_subnet(outside, machine_address)
        problem = "This host has several IPv4 addresses, and none is in the machine's subnet."
        if chosen is None and source_address:
            wanted = _resolve(source_address, resolve)
            chosen = _first([a for a in addresses if a.address == wanted])
            problem = f"{source_address} is no IPv4 address of this host."
        elif chosen is None and len({a.interface for a in outside}) == 1:
            chosen = outside[0]
    if chosen is None:
        have = ", ".join(map(str, addresses)) or "none"
        raise SlipwayError(
            f"{problem} It has: {have}.",
            "Name the interface in the machine's subnet: option `interface`, or the variable"
            " imaging_session_wake_interface.",
            "no_interface",
        )
    return Route(chosen.interface, chosen.address, broadcast or _broadcast(chosen))


def choose_routes(
    addresses: Sequence[Address], interfaces: Sequence[str], **options: Any
) -> list[Route]:
    """Choose as `choose_route`, or all of these interfaces where nothing says which is the one.

    A magic packet in a network where its card is not wakes nobody.
    """
    here = {a.interface: a for a in reversed(addresses)}
    known = [here[name] for name in dict.fromkeys(interfaces) if name in here]
    if (
        not known
        or options.get("interface")
        or _in_subnet(addresses, options.get("machine_address"))
    ):
        return [choose_route(addresses, **options)]
    if broadcast := options.get("broadcast"):
        # It is routed there, from wherever it is sent.
        return [Route(known[0].interface, known[0].address, broadcast)]
    return [Route(one.interface, one.address, _broadcast(one)) for one in known]


def parse_password(text: str) -> bytes:
    """Read a SecureOn password: 6 bytes in hexadecimal digits, or 4 in decimal ones with dots."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(re.sub("[:.-]", "", text))
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        # The text is a secret: it is not repeated.
        raise SlipwayError(
            "The password for waking is no SecureOn password, and no packet was sent.",
            "Write machine_wake_password as six bytes, such as 00:11:22:aa:bb:cc, in quotation"
            " marks, or as four, such as 192.168.1.1.",
            "bad_password",
        ) from None


def send(route: Route, macs: Sequence[str], port: int, repeat: int, password: bytes = b"") -> int:
    """Send the magic packets and return how many were sent."""
    for _turn in range(repeat):
        try:
            _wake(route, macs, port, password)
        except OSError as failure:
            raise SlipwayError(
                f"Magic packets from {route.source_address} ({route.interface}) to"
                f" {route.broadcast} port {port} can't be sent: {failure}.",
                "See whether the interface is up, and whether a firewall forbids broadcasts.",
                "not_sent",
            ) from failure
    return repeat * len(macs)


def _wake(route: Route, macs: Sequence[str], port: int, password: bytes) -> None:
    try:
        import wakeonlan
    except ImportError:
        wakeonlan = None  # type: ignore[assignment]
    # A relay host has Python and nothing of ours, and older libraries know no passwords; the
    # packets are the same.
    if wakeonlan is None or password:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind((route.source_address, 0))
            for mac in macs:
                card = bytes.fromhex(mac.replace(":", ""))
                sender.sendto(b"\xff" * 6 + card * 16 + password, (route.broadcast, port))
        return
    wakeonlan.wake(*macs, host=route.broadcast, port=port, interface=route.source_address)


def _first(addresses: Sequence[Address]) -> Address | None:
    return addresses[0] if addresses else None


def _in_subnet(addresses: Sequence[Address], machine_address: str | None) -> Address | None:
    if not machine_address:
        return None
    try:
        wanted = ipaddress.IPv4Address(machine_address)
    except ValueError as failure:
        raise SlipwayError(
            f"{machine_address!r} is no IPv4 address.", "Correct machine_ip.", "bad_address"
        ) from failure
    return _first([a for a in addresses if wanted in a.network])


def _resolve(name: str, resolve: Callable[[str], str]) -> str:
    try:
        return resolve(name)
    except OSError as failure:
        raise SlipwayError(
            f"{name!r} can't be resolved to an IPv4 address here: {failure}.",
            "Give an address, or name the interface: imaging_session_wake_interface.",
            "no_interface",
        ) from failure


def _broadcast(address: Address) -> str:
    # A /31 or /32 has no broadcast address of its own.
    if address.prefix > 30:
        return "255.255.255.255"
    return str(address.network.broadcast_address)
