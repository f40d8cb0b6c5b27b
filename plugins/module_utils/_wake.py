"""Wake-on-LAN from the right interface: choosing where to send from, and sending."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError


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


def send(route: Route, macs: Sequence[str], port: int, repeat: int) -> int:
    """Send the magic packets and return how many were sent."""
    for _turn in range(repeat):
        try:
            _wake(route, macs, port)
        except OSError as failure:
            raise SlipwayError(
                f"Magic packets from {route.source_address} ({route.interface}) to"
                f" {route.broadcast} port {port} can't be sent: {failure}.",
                "See whether the interface is up, and whether a firewall forbids broadcasts.",
                "not_sent",
            ) from failure
    return repeat * len(macs)


def _wake(route: Route, macs: Sequence[str], port: int) -> None:
    try:
        import wakeonlan
    except ImportError:
        # A relay host has Python and nothing of ours; the packets are the same.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind((route.source_address, 0))
            for mac in macs:
                card = bytes.fromhex(mac.replace(":", ""))
                sender.sendto(b"\xff" * 6 + card * 16, (route.broadcast, port))
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
