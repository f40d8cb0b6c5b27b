"""The networks that boot from a server: what is accepted, and what is named as wrong."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.pxe_networks import pxe_networks

FACTS: dict[str, Any] = {
    "interfaces": ["lo", "lab0"],
    "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0"}},
    "lab0": {"device": "lab0", "ipv4": {"address": "10.77.0.1", "netmask": "255.255.255.0"}},
    "eno2": {"device": "eno2"},
    "default_ipv4": {"address": "10.77.0.1", "interface": "lab0", "gateway": "10.77.0.2"},
    "default_ipv6": {"gateway": "fe80::1"},
    "lab1": {
        "device": "lab1",
        "ipv4": {"address": "10.79.0.1", "netmask": "255.255.255.0"},
        "ipv4_secondaries": [{"address": "10.77.0.3", "netmask": "255.255.255.0"}],
    },
}
RANGE = {"first": "10.77.0.100", "last": "10.77.0.200"}
ROOM = {
    "network": "10.78.0.0/23",
    "range": {"first": "10.78.0.50", "last": "10.78.1.250"},
    "router": "10.78.0.1",
    "dns": ["10.1.1.1"],
}


def settings(**changes: Any) -> dict[str, Any]:
    return {"mode": "full", "interface": "lab0", "range": RANGE, "subnets": [ROOM], **changes}


def test_own_network_and_one_behind_a_relay_agent() -> None:
    found = pxe_networks(settings(machine_ips={"pc1": "10.77.0.21", "pc2": "10.78.1.9"}), FACTS)
    assert found["own"] == {
        "tag": "own",
        "interface": "lab0",
        "server": "10.77.0.1",
        "address": "10.77.0.0",
        "netmask": "255.255.255.0",
        "first": "10.77.0.100",
        "last": "10.77.0.200",
        "router": "",
        "dns": [],
    }
    (room,) = found["subnets"]
    assert (room["tag"], room["address"], room["netmask"]) == (
        "subnet1",
        "10.78.0.0",
        "255.255.254.0",
    )
    assert (room["first"], room["last"], room["router"]) == (
        "10.78.0.50",
        "10.78.1.250",
        "10.78.0.1",
    )


def test_a_netmask_of_the_inventory_wins() -> None:
    assert pxe_networks(settings(netmask="255.255.0.0", subnets=[]), FACTS)["own"]["address"] == (
        "10.77.0.0"
    )
    with pytest.raises(AnsibleFilterError, match="pxe_server_netmask"):
        pxe_networks(settings(netmask="255.0.255.0"), FACTS)


@pytest.mark.parametrize("mode", ["proxy", "none"])
def test_without_addresses_of_ours_a_network_is_enough(mode: str) -> None:
    wanted = settings(mode=mode, range={}, subnets=[{"network": "10.78.0.0/23"}])
    # Its addresses are another server's affair.
    wanted["machine_ips"] = {"pc1": "172.16.0.9"}
    (room,) = pxe_networks(wanted, FACTS)["subnets"]
    assert (room["first"], room["last"]) == ("", "")


def test_a_second_card_of_the_server_has_its_own_network_and_address() -> None:
    card = {
        "interface": "lab1",
        "range": {"first": "10.79.0.50", "last": "10.79.0.90"},
        "dns": ["10.1.1.1"],
    }
    ips = {"pc1": "10.77.0.21", "pc2": "10.79.0.21", "in-the-range": "10.79.0.60"}
    found = pxe_networks(settings(subnets=[card, ROOM], machine_ips=ips), FACTS)
    here, relayed = found["subnets"]
    assert (here["interface"], here["server"], here["address"]) == (
        "lab1",
        "10.79.0.1",
        "10.79.0.0",
    )
    assert (here["first"], here["router"]) == ("10.79.0.50", "")
    # Behind a router the server has one address, whatever card leads there.
    assert (relayed["interface"], relayed["server"]) == ("", "10.77.0.1")


@pytest.mark.parametrize(
    ("said", "server"),
    [("", "10.77.0.1"), ("imgserver.room", "10.77.0.1"), ("192.0.2.7", "192.0.2.7")],
)
def test_machines_are_told_an_address_never_a_name(said: str, server: str) -> None:
    found = pxe_networks(settings(server=said), FACTS)
    assert {net["server"] for net in (found["own"], *found["subnets"])} == {server}


def room(**changes: Any) -> list[dict[str, Any]]:
    return [{**ROOM, **changes}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "half"}, "pxe_server_dhcp_mode"),
        ({"interface": "eth9"}, "eth9 has no IPv4 address"),
        ({"interface": "eno2"}, "eno2 has no IPv4 address"),
        ({"range": {"first": "10.77.0.9", "last": "10.77.0.8"}}, "from 10.77.0.9 down to"),
        ({"range": {"first": "10.77.0.9", "last": "10.99.0.8"}}, "10.99.0.8 is not in 10.77.0.0"),
        ({"range": {"first": "10.77.0.9"}}, "range.last is ''"),
        ({"range": {"first": "10.77.0.9", "last": "10.77.0.400"}}, "10.77.0.400"),
        ({"router": "10.77.0.1\nlog-queries"}, "router is"),
        ({"router": "10.99.0.1"}, "router 10.99.0.1 is not in"),
        ({"dns": ["1.1.1.1,tag:x"]}, "dns is"),
        ({"subnets": ["10.78.0.0/24"]}, "has no network"),
        ({"subnets": room(network="10.78.0.1/24")}, "host bits set"),
        ({"subnets": room(network="10.78.0.0")}, "no room for machines"),
        ({"subnets": room(netwrok="10.78.0.0/24")}, "has no key netwrok"),
        ({"subnets": room(router="")}, r"pxe_server_subnets\[0\]: router is ''"),
        ({"subnets": room(range=None)}, "range.first is ''"),
        ({"subnets": room(network="10.77.0.0/16")}, "overlaps with 10.77.0.0/24"),
        ({"subnets": room() + room()}, "overlaps with 10.78.0.0/23"),
        ({"machine_ips": {"pc7": "10.79.0.7"}}, "pc7: machine_ip 10.79.0.7 is in none of"),
        ({"machine_ips": {"pc7": "10.77.0.1"}}, "pc7: machine_ip 10.77.0.1 is this server's own"),
        ({"machine_ips": {"pc7": "10.77.0.3"}}, "10.77.0.3 is this server's own"),
        ({"machine_ips": {"pc7": "10.79.0.1"}}, "10.79.0.1 is this server's own"),
        ({"server": "10.77.0.9", "machine_ips": {"pc7": "10.77.0.9"}}, "this server's own"),
        ({"router": "10.77.0.254", "machine_ips": {"pc7": "10.77.0.254"}}, "is a router's"),
        ({"machine_ips": {"pc7": "10.78.0.1"}}, "10.78.0.1 is a router's"),
        ({"dns": ["10.77.0.53"], "machine_ips": {"pc7": "10.77.0.53"}}, "is a name server's"),
        ({"machine_ips": {"pc7": "10.1.1.1"}}, "10.1.1.1 is a name server's"),
        ({"machine_ips": {"pc7": "10.77.0.0"}}, "address of the network 10.77.0.0/24 itself"),
        ({"machine_ips": {"pc7": "10.77.0.255"}}, "the broadcast address of 10.77.0.0/24"),
        ({"machine_ips": {"pc7": "10.78.1.255"}}, "the broadcast address of 10.78.0.0/23"),
        ({"machine_ips": {"pc7": "10.77.0.21", "pc8": "10.77.0.21"}}, "pc8: .* is pc7's, too"),
        ({"mode": "proxy", "machine_ips": {"pc7": "10.77.0.1"}}, "this server's own"),
        ({"mode": "none", "machine_ips": {"pc7": "10.77.0.255"}}, "the broadcast address"),
        ({"mode": "proxy", "machine_ips": {"pc7": "10.77.0.2"}}, "10.77.0.2 is a router's"),
        ({"mode": "proxy", "machine_ips": {"pc7": "0.0.0.0"}}, "no address of a machine"),
        ({"mode": "proxy", "machine_ips": {"pc7": "127.0.0.2"}}, "no address of a machine"),
        ({"mode": "none", "machine_ips": {"pc7": "224.0.0.9"}}, "no address of a machine"),
        ({"mode": "none", "machine_ips": {"pc7": "255.255.255.255"}}, "no address of a machine"),
        ({"router": "10.77.0.255"}, "router 10.77.0.255 is 10.77.0.0/24's own"),
        ({"range": {"first": "10.77.0.0", "last": "10.77.0.9"}}, "range.first 10.77.0.0 is"),
        ({"server": "10.77.0.999"}, "pxe_server_address is '10.77.0.999'"),
        ({"server": "127.0.0.1"}, "127.0.0.1 is no address of a server"),
        ({"server": "10.77.0.255"}, "10.77.0.255 is no address of a server"),
        ({"subnets": [{"range": RANGE}]}, "has no network such as .*, and no interface"),
        ({"subnets": [{"interface": "eth9"}]}, "eth9 has no IPv4 address"),
        ({"subnets": [{"interface": "lab1"}]}, "range.first is ''"),
        ({"subnets": room(interface="lab1")}, "a network and an interface"),
        ({"subnets": [{"interface": "lab0"}]}, "overlaps with 10.77.0.0/24"),
        ({"machine_ips": {"pc7": "10.78.0.7,ignore"}}, "pc7: machine_ip is"),
    ],
)
def test_what_does_not_fit_is_named_with_a_remedy(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says) as failure:
        pxe_networks(settings(**changes), FACTS)
    assert "Remedy: " in str(failure.value)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as failure:
        pxe_networks(settings(router="x", subnets=room(router="y")), FACTS)
    assert "'x'" in str(failure.value) and "'y'" in str(failure.value)
