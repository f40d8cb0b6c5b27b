"""The networks that boot from an image server: read from the inventory, and checked as a whole."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

MODES = ("full", "proxy", "none")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}\Z")
_SUBNET_KEYS = {"network", "interface", "netmask", "range", "router", "dns"}

Network = ipaddress.IPv4Network
Address = ipaddress.IPv4Address


@dataclass(frozen=True)
class Subnet:
    """One network as dnsmasq is told about it; a text is empty where there is nothing to say.

    `interface` is the server's card in it, if it has one, and `server` the address by which the
    network's machines reach the server.
    """

    tag: str
    interface: str
    server: str
    address: str
    netmask: str
    first: str
    last: str
    router: str
    dns: tuple[str, ...]

    @property
    def network(self) -> Network:
        """Return it as a network."""
        return Network(f"{self.address}/{self.netmask}")


@dataclass(frozen=True)
class Networks:
    """The server's own network, and further ones: of other cards, and behind relay agents."""

    own: Subnet
    subnets: tuple[Subnet, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a template, which knows lists and no tuples."""
        own, *subnets = [asdict(s) | {"dns": list(s.dns)} for s in (self.own, *self.subnets)]
        return {"own": own, "subnets": subnets}


class Host:
    """The server's network cards, as Ansible's facts say them."""

    def __init__(self, facts: Iterable[object]) -> None:
        """Keep the IPv4 part of each card, by its device."""
        entries = [entry for entry in facts if isinstance(entry, Mapping)]
        # Of the server's default route; the one by IPv6 is no text of this form.
        self.routers = {str(entry.get("gateway", "")) for entry in entries}
        cards = [card for card in entries if card.get("device")]
        self._cards = {str(card["device"]): card.get("ipv4") or {} for card in cards}
        more = [card.get("ipv4_secondaries") or [] for card in cards]
        every = [*self._cards.values(), *(entry for entries in more for entry in entries)]
        self.addresses = {Address(ipv4["address"]) for ipv4 in every if ipv4.get("address")}

    def address(self, interface: str) -> str:
        """Return the first IPv4 address of a card."""
        if found := self._cards.get(interface, {}).get("address"):
            return str(found)
        raise SlipwayError(
            f"The interface {clean(interface, 20)} has no IPv4 address.",
            "Give it a fixed one, or set pxe_server_interface to the one in the machines' network.",
            "no_address",
        )

    def network(self, interface: str, netmask: str = "") -> Network:
        """Return the network of a card."""
        mask = netmask or self._cards.get(interface, {}).get("netmask")
        try:
            return Network(f"{self.address(interface)}/{mask}", strict=False)
        except ValueError as failure:
            raise SlipwayError(
                f"The network of {clean(interface, 20)} is no network: {clean(failure, 120)}.",
                "Correct pxe_server_netmask, or leave it out.",
                "bad_network",
            ) from failure


def parse(settings: Mapping[str, Any], host: Host) -> Networks:
    """Check interface, range, subnets and fixed addresses against each other.

    `settings` has the keys that the filter pxe_networks names. Everything that is wrong is named
    in one SlipwayError.
    """
    mode = settings["mode"]
    if mode not in MODES:
        raise SlipwayError(
            f"pxe_server_dhcp_mode can't be {clean(mode, 40)!r}.", f"Use {', '.join(MODES)}."
        )
    problems: list[str] = []
    with_ranges = mode == "full"
    interface = settings["interface"]
    own = host.network(interface, settings.get("netmask") or "")
    server = _server(str(settings.get("server") or ""), host.address(interface), own, problems)
    mine = _subnet(
        Subnet("own", interface, server, *_texts(own), "", "", "", ()),
        settings, problems, "pxe_server_dhcp_range", with_ranges, routed=False,
    )  # fmt: skip
    found: list[Subnet] = [mine]
    for number, entry in enumerate(settings.get("subnets") or (), start=1):
        where = f"pxe_server_subnets[{number - 1}]"
        read = _start(entry, f"subnet{number}", server, host, where, problems)
        if read is None:
            continue
        if taken := [other for other in found if other.network.overlaps(read.network)]:
            problems.append(f"{where}: {read.network} overlaps with {taken[0].network}")
        routed = not read.interface
        found.append(_subnet(read, entry, problems, where, with_ranges, routed))
    machine_ips = settings.get("machine_ips") or {}
    ours = host.addresses | {Address(server)}
    problems += _machine_ips(machine_ips, found, ours, host.routers, with_ranges)
    if problems:
        raise SlipwayError(
            f"The networks of this image server can't be as the inventory says: "
            f"{'; '.join(problems)}.",
            "Correct the pxe_server_* variables or machine_ip, as the role's README shows them.",
            "bad_network",
        )
    return Networks(mine, tuple(found[1:]))


def _server(said: str, here: str, own: Network, problems: list[str]) -> str:
    """Return the address by which machines reach the server: the one that is said, or its own.

    A name is ours to resolve: PCs may have no name server, or one that does not know it.
    """
    if not re.fullmatch(r"[0-9.]+", said):
        return here
    try:
        address = _address(said, "pxe_server_address")
    except SlipwayError as failure:
        problems.append(failure.message)
        return here
    unusable = address.is_loopback or address.is_unspecified or address.is_multicast
    if unusable or address in (own.network_address, own.broadcast_address):
        problems.append(f"pxe_server_address {address} is no address of a server")
    return str(address)


def _start(
    entry: object, tag: str, server: str, host: Host, where: str, problems: list[str]
) -> Subnet | None:
    """Return a further network without what is told to its machines."""
    network = _network(entry, host, where, problems)
    if network is None or not isinstance(entry, Mapping):
        return None
    interface = str(entry.get("interface") or "")
    here = host.address(interface) if interface else server
    return Subnet(tag, interface, here, *_texts(network), "", "", "", ())


def _texts(network: Network) -> tuple[str, str]:
    return str(network.network_address), str(network.netmask)


def _network(entry: object, host: Host, where: str, problems: list[str]) -> Network | None:
    named = isinstance(entry, Mapping) and [
        entry[k] for k in ("network", "interface") if entry.get(k)
    ]
    if not isinstance(entry, Mapping) or not named or not isinstance(named[0], str):
        problems.append(f"{where} has no network such as 192.168.2.0/24, and no interface of ours")
        return None
    if unknown := sorted(str(key) for key in set(entry) - _SUBNET_KEYS):
        problems.append(f"{where} has no key {clean(', '.join(unknown), 60)}")
    if len(named) > 1:
        problems.append(f"{where} has a network and an interface: the interface alone says both")
        return None
    try:
        if "interface" in entry:
            return host.network(named[0], entry.get("netmask") or "")
        network = Network(named[0])
    except SlipwayError as failure:
        problems.append(f"{where}: {failure.message.rstrip('.')}")
        return None
    except ValueError as failure:
        problems.append(f"{where}: {clean(failure, 120)}")
        return None
    if "/" not in named[0] or network.prefixlen > 30:
        problems.append(f"{where}: {network} has no room for machines; write 192.168.2.0/24")
        return None
    return network


def _subnet(
    start: Subnet,
    entry: Mapping[str, Any],
    problems: list[str],
    where: str,
    with_ranges: bool,
    routed: bool,
) -> Subnet:
    """Return a network with what its machines are told; `routed` ones lie behind a router."""
    network = start.network

    def check(value: object, what: str, inside: bool = True) -> Address | None:
        try:
            address = _address(value, what)
        except SlipwayError as failure:
            problems.append(f"{where}: {failure.message}")
            return None
        if inside and address not in network:
            problems.append(f"{where}: {what} {address} is not in {network}")
        elif inside and address in (network.network_address, network.broadcast_address):
            problems.append(f"{where}: {what} {address} is {network}'s own, no machine's")
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
    return replace(start, first=first, last=last, router=str(router), dns=dns)


def _address(value: object, what: str) -> Address:
    try:
        if isinstance(value, str) and _ADDRESS.match(value):
            return Address(value)
    except ValueError:
        pass
    raise SlipwayError(f"{what} is {clean(repr(value), 40)}, not an address such as 192.168.2.1")


def _machine_ips(
    machine_ips: Mapping[str, str],
    networks: Sequence[Subnet],
    ours: set[Address],
    routers: set[str],
    with_ranges: bool,
) -> Iterator[str]:
    """Yield fixed addresses that can't be a machine's.

    One in a range is fine: dnsmasq keeps it from all others.
    """
    owners: dict[Address, str] = {}
    for name, text in machine_ips.items():
        who = clean(name, 63)
        try:
            address = _address(text, "machine_ip")
        except SlipwayError as failure:
            yield f"{who}: {failure.message}"
            continue
        if twin := owners.get(address):
            yield f"{who}: machine_ip {address} is {twin}'s, too"
        owners.setdefault(address, who)
        home = next((net for net in networks if address in net.network), None)
        if whose := _whose(address, home, networks, ours, routers):
            yield f"{who}: machine_ip {address} is {whose}"
        elif home is None and with_ranges:
            have = ", ".join(str(net.network) for net in networks)
            yield f"{who}: machine_ip {address} is in none of {have}"


def _whose(
    address: Address,
    home: Subnet | None,
    networks: Sequence[Subnet],
    ours: set[Address],
    routers: set[str],
) -> str:
    """Return whose an address is already, or nothing."""
    if address in ours:
        return "this server's own"
    if (
        address.is_loopback
        or address.is_multicast
        or address.is_reserved
        or int(address) >> 24 == 0
    ):
        return "no address of a machine in any network"
    if str(address) in routers | {net.router for net in networks}:
        return "a router's"
    if any(str(address) in net.dns for net in networks):
        return "a name server's"
    if home and address == home.network.network_address:
        return f"the address of the network {home.network} itself"
    if home and address == home.network.broadcast_address:
        return f"the broadcast address of {home.network}"
    return ""
