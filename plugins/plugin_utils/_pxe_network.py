"""The networks that boot from an image server: read from the inventory, and checked as a whole."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

MODES = ("full", "proxy", "none")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}\Z")
_SUBNET_KEYS = {"network", "range", "router", "dns"}

Network = ipaddress.IPv4Network
Address = ipaddress.IPv4Address


@dataclass(frozen=True)
class Subnet:
    """One network as dnsmasq is told about it; a text is empty where there is nothing to say."""

    tag: str
    address: str
    netmask: str
    first: str
    last: str
    router: str
    dns: tuple[str, ...]


@dataclass(frozen=True)
class Networks:
    """The server's own network, and those behind relay agents."""

    own: Subnet
    subnets: tuple[Subnet, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a template, which knows lists and no tuples."""
        own, *subnets = [asdict(s) | {"dns": list(s.dns)} for s in (self.own, *self.subnets)]
        return {"own": own, "subnets": subnets}


def own_network(interfaces: Iterable[object], interface: str, netmask: str = "") -> Network:
    """Return the network of an interface, from the facts about all of them."""
    for facts in interfaces:
        if not isinstance(facts, Mapping) or facts.get("device") != interface:
            continue
        ipv4 = facts.get("ipv4") or {}
        if ipv4.get("address"):
            mask = netmask or ipv4.get("netmask")
            try:
                return Network(f"{ipv4['address']}/{mask}", strict=False)
            except ValueError as failure:
                raise SlipwayError(
                    f"The network of {clean(interface, 20)} is no network: {clean(failure, 120)}.",
                    "Correct pxe_server_netmask, or leave it out.",
                    "bad_network",
                ) from failure
    raise SlipwayError(
        f"The interface {clean(interface, 20)} has no IPv4 address.",
        "Give it a fixed one, or set pxe_server_interface to the one in the machines' network.",
        "no_address",
    )


def parse(
    mode: str,
    own: Network,
    settings: Mapping[str, Any],
    machine_ips: Mapping[str, str],
) -> Networks:
    """Check range, subnets and fixed addresses against each other.

    `settings` has the keys range, router, dns and subnets. Everything that is wrong is named in
    one SlipwayError.
    """
    if mode not in MODES:
        raise SlipwayError(
            f"pxe_server_dhcp_mode can't be {clean(mode, 40)!r}.", f"Use {', '.join(MODES)}."
        )
    problems: list[str] = []
    with_ranges = mode == "full"
    mine = _subnet(
        "own", own, settings, problems, "pxe_server_dhcp_range", with_ranges, routed=False
    )
    found: list[tuple[Network, Subnet]] = []
    for number, entry in enumerate(settings.get("subnets") or (), start=1):
        where = f"pxe_server_subnets[{number - 1}]"
        network = _network(entry, where, problems)
        if network is None:
            continue
        if taken := [other for other in (own, *(n for n, _ in found)) if other.overlaps(network)]:
            problems.append(f"{where}: {network} overlaps with {taken[0]}")
        tag = f"subnet{number}"
        found.append((network, _subnet(tag, network, entry, problems, where, with_ranges)))
    if with_ranges:
        problems += _strangers(machine_ips, [own, *(network for network, _ in found)])
    if problems:
        raise SlipwayError(
            f"The networks of this image server can't be as the inventory says: "
            f"{'; '.join(problems)}.",
            "Correct the pxe_server_* variables or machine_ip, as the role's README shows them.",
            "bad_network",
        )
    return Networks(mine, tuple(subnet for _, subnet in found))


def _network(entry: object, where: str, problems: list[str]) -> Network | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("network"), str):
        problems.append(f"{where} has no network such as 192.168.2.0/24")
        return None
    if unknown := sorted(str(key) for key in set(entry) - _SUBNET_KEYS):
        problems.append(f"{where} has no key {clean(', '.join(unknown), 60)}")
    try:
        network = Network(entry["network"])
    except ValueError as failure:
        problems.append(f"{where}: {clean(failure, 120)}")
        return None
    if "/" not in entry["network"] or network.prefixlen > 30:
        problems.append(f"{where}: {network} has no room for machines; write 192.168.2.0/24")
        return None
    return network


def _subnet(
    tag: str,
    network: Network,
    entry: Mapping[str, Any],
    problems: list[str],
    where: str,
    with_ranges: bool,
    routed: bool = True,
) -> Subnet:
    """Return what dnsmasq needs of one network; `routed` ones lie behind a router."""

    def check(value: object, what: str, inside: bool = True) -> Address | None:
        try:
            address = _address(value, what)
        except SlipwayError as failure:
            problems.append(f"{where}: {failure.message}")
            return None
        if inside and address not in network:
            problems.append(f"{where}: {what} {address} is not in {network}")
        return address

    span = entry.get("range") or {}
    first = last = ""
    if with_ranges:
        low, high = (check(span.get(end, ""), f"range.{end}") for end in ("first", "last"))
        if low and high:
            first, last = str(low), str(high)
            if low > high:
                problems.append(f"{where}: range goes from {low} down to {high}")
    router = entry.get("router") or ""
    if router or (routed and with_ranges):
        check(router, "router")
    dns = tuple(str(server) for server in entry.get("dns") or ())
    for server in dns:
        check(server, "dns", inside=False)
    return Subnet(
        tag, str(network.network_address), str(network.netmask), first, last, str(router), dns
    )


def _address(value: object, what: str) -> Address:
    try:
        if isinstance(value, str) and _ADDRESS.match(value):
            return Address(value)
    except ValueError:
        pass
    raise SlipwayError(f"{what} is {clean(repr(value), 40)}, not an address such as 192.168.2.1")


def _strangers(machine_ips: Mapping[str, str], networks: Sequence[Network]) -> Iterator[str]:
    """Yield machines whose fixed address no network has: it would never be handed out."""
    for name, text in machine_ips.items():
        try:
            address = _address(text, "machine_ip")
        except SlipwayError as failure:
            yield f"{clean(name, 63)}: {failure.message}"
            continue
        if not any(address in network for network in networks):
            have = ", ".join(map(str, networks))
            yield f"{clean(name, 63)}: machine_ip {address} is in none of {have}"
