# SPDX-License-Identifier: GPL-3.0-or-later
"""A magic packet is found wherever it is in a frame, and nothing else is taken for one."""

import socket
import struct

import pytest
from slipway_lab import magic

MAC = "52:54:00:99:00:01"
RAW = bytes.fromhex(MAC.replace(":", ""))
PAYLOAD = b"\xff" * 6 + RAW * 16
SENDER = bytes.fromhex("525400aabbcc")


def ethernet(kind: int, payload: bytes, target: bytes = b"\xff" * 6) -> bytes:
    return target + SENDER + struct.pack("!H", kind) + payload


def udp(payload: bytes, port: int = 9, options: bytes = b"") -> bytes:
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x40 | (5 + len(options) // 4), 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0),
        *(socket.inet_aton("10.99.0.1"), socket.inet_aton("10.99.0.255")),
    )
    datagram = struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload
    return ethernet(magic.ETHER_IPV4, header + options + datagram)


@pytest.mark.parametrize(
    ("frame", "via"),
    [
        (udp(PAYLOAD), "udp 10.99.0.1:40000 > 10.99.0.255:9"),
        (udp(PAYLOAD, 7), "udp 10.99.0.1:40000 > 10.99.0.255:7"),
        (udp(PAYLOAD, options=b"\x01" * 4), "udp 10.99.0.1:40000 > 10.99.0.255:9"),
        (ethernet(magic.ETHER_WAKE, PAYLOAD), "ethertype 0x0842"),
        (ethernet(magic.ETHER_WAKE, PAYLOAD + b"secret"), "ethertype 0x0842"),
        (ethernet(0x86DD, b"\0" * 50 + PAYLOAD), "ethertype 0x86dd"),
        (ethernet(magic.ETHER_WAKE, b"\xff" * 3 + PAYLOAD), "ethertype 0x0842"),
        (ethernet(magic.ETHER_WAKE, b"\xff" * 6 + b"\0" + PAYLOAD), "ethertype 0x0842"),
    ],
)
def test_found(frame: bytes, via: str) -> None:
    found = magic.find(frame)
    assert found == magic.Magic(mac=MAC, source="52:54:00:aa:bb:cc", via=via)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff" * 300,
        ethernet(magic.ETHER_WAKE, PAYLOAD[:-1]),
        ethernet(magic.ETHER_WAKE, b"\xff" * 6 + RAW * 15 + SENDER),
        ethernet(magic.ETHER_WAKE, RAW * 16),
        udp(b"\xff" * 6),
    ],
)
def test_not_found(frame: bytes) -> None:
    assert magic.find(frame) is None
