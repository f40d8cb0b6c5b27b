# SPDX-License-Identifier: GPL-3.0-or-later
"""Where magic packets are sent from, and what arrives."""

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._wake import (
    Address,
    Route,
    choose_route,
    choose_routes,
    parse_addresses,
    parse_password,
    send,
)

HERE = [
    Address("lo", "127.0.0.1", 8),
    Address("eth0", "192.0.2.10", 24),
    Address("lab0", "10.77.0.1", 24),
]
MAC = "52:54:00:77:00:01"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interface": "lab0"}, Route("lab0", "10.77.0.1", "10.77.0.255")),
        ({"machine_address": "10.77.0.21"}, Route("lab0", "10.77.0.1", "10.77.0.255")),
        (
            {"machine_address": "10.77.0.21", "source_address": "192.0.2.10"},
            Route("lab0", "10.77.0.1", "10.77.0.255"),
        ),
        (
            {"machine_address": "10.9.0.1", "source_address": "192.0.2.10"},
            Route("eth0", "192.0.2.10", "192.0.2.255"),
        ),
        ({"source_address": "img.example"}, Route("lab0", "10.77.0.1", "10.77.0.255")),
        (
            {"interface": "eth0", "broadcast": "10.8.0.255"},
            Route("eth0", "192.0.2.10", "10.8.0.255"),
        ),
    ],
)
def test_the_interface_in_the_machines_subnet(options: dict[str, str], expected: Route) -> None:
    assert (
        choose_route(
            HERE, resolve=lambda name: {"img.example": "10.77.0.1"}.get(name, name), **options
        )
        == expected
    )


@pytest.mark.parametrize("options", [{}, {"interface": "eth9"}, {"source_address": "192.0.2.99"}])
def test_no_guess_among_several_interfaces(options: dict[str, str]) -> None:
    with pytest.raises(
        SlipwayError, match=r"10\.77\.0\.1/24 \(lab0\).*imaging_session_wake_interf"
    ):
        choose_route(HERE, **options)


def test_the_only_interface_needs_no_name() -> None:
    assert choose_route(HERE[:2]).interface == "eth0"
    assert choose_route([Address("wg0", "10.0.0.1", 32)]).broadcast == "255.255.255.255"


ETH0, LAB0 = Route("eth0", "192.0.2.10", "192.0.2.255"), Route("lab0", "10.77.0.1", "10.77.0.255")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [LAB0, ETH0]),
        # A name that only this host knows, and as a loopback address: nobody asks for it.
        ({"source_address": "imgserver.invalid"}, [LAB0, ETH0]),
        ({"machine_address": "192.0.2.21"}, [ETH0]),
        ({"machine_address": "10.9.9.9"}, [LAB0, ETH0]),
        ({"interface": "eth0"}, [ETH0]),
        ({"broadcast": "10.9.9.255"}, [Route("lab0", "10.77.0.1", "10.9.9.255")]),
    ],
)
def test_a_server_with_several_networks_wakes_in_each(
    options: dict[str, str], expected: list[Route]
) -> None:
    assert choose_routes(HERE, ["lab0", "eth0", "gone0"], **options) == expected


def test_without_interfaces_the_address_decides() -> None:
    assert choose_routes(HERE, [], source_address="10.77.0.1") == [LAB0]
    assert choose_routes(HERE, ["gone0"], source_address="10.77.0.1") == [LAB0]


SECRET = bytes.fromhex("00112a3b4c5d")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("00:11:2a:3b:4c:5d", SECRET),
        ("00-11-2A-3B-4C-5D", SECRET),
        ("0011.2a3b.4c5d", SECRET),
        ("00112a3b4c5d", SECRET),
        ("192.168.1.1", bytes([192, 168, 1, 1])),
    ],
)
def test_secure_on_passwords(text: str, password: bytes) -> None:
    assert parse_password(text) == password


@pytest.mark.parametrize("text", ["secret", "00:11:22:33:44", "00:11:22:33:44:5g", "1.2.3.400"])
def test_what_is_no_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SlipwayError, match="machine_wake_password") as failure:
        parse_password(text)
    assert text not in str(failure.value)


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("password", [b"", SECRET])
def test_what_is_sent(library: bool, password: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay host has no library, and sends the same."""
    if not library:
        monkeypatch.setitem(sys.modules, "wakeonlan", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        port = receiver.getsockname()[1]
        assert send(Route("lo", "127.0.0.1", "127.0.0.1"), [MAC], port, 2, password) == 2
        for _turn in range(2):
            packet, sender = receiver.recvfrom(200)
            assert packet == b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) * 16 + password
            assert sender[0] == "127.0.0.1"


def test_the_module_says_what_it_would_send(
    mock_command: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    links = [
        {
            "ifname": "lab0",
            "addr_info": [{"family": "inet", "local": "10.77.0.1", "prefixlen": 24}],
        }
    ]
    mock_command("ip", json.dumps(links))
    assert parse_addresses(json.dumps(links)) == [HERE[2]]
    result = run_module("wake", check_mode=True, macs=["52-54-00-77-00-01"])
    assert not result["changed"]
    assert (result["packets"], result["macs"], result["broadcast"]) == (0, [MAC], "10.77.0.255")


def test_the_module_refuses_a_bad_mac_address(run_module: Callable[..., Any]) -> None:
    assert run_module("wake", macs=["nonsense"])["error"] == "bad_mac"
    assert run_module("wake", macs=[])["error"] == "no_macs"
