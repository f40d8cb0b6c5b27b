# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network card an address belongs to, as this server's kernel knows it.

rtnetlink(7), without any privilege: the route to the address says whether it is in one of the
server's own networks, and the neighbour table, which card answered for it there. Whoever just
finished a TCP handshake stands in that table, since nothing could have been sent to him otherwise.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_REQUEST = 1
_ERROR = 2
_NEW_NEIGHBOUR, _GET_NEIGHBOUR = 28, 30
_NEW_ROUTE, _GET_ROUTE = 24, 26
# nlmsghdr, rtmsg and ndmsg of linux/netlink.h, rtnetlink.h, neighbour.h.
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_DESTINATION = 1
_OUT_INTERFACE, _GATEWAY, _VIA = 4, 5, 18
_CARD = 2
_UNICAST = 1
# NUD_REACHABLE, STALE, DELAY, PROBE, PERMANENT: the states in which the card's address holds.
_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
_ANSWER_SECONDS = 1.0
_ATTRIBUTE_TYPE = 0x3FFF

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Place:
    """Where an address is, seen from this server."""

    # In one of its own networks, so that its card can be seen; not behind a router.
    near: bool
    # `aa:bb:...`; None: the kernel knows none.
    card: str | None = None


def place_of(address: Address) -> Place | None:
    """Look an address up; None when it is the server's own, or the kernel does not say."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(_ANSWER_SECONDS)
            return _place_of(netlink, address)
    except OSError as error:
        # Without a route there it is in none of the server's own networks either.
        far = error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        return Place(near=False) if far else None
    except struct.error:
        return None


def _place_of(netlink: socket.socket, address: Address) -> Place | None:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    bits = address.max_prefixlen
    answer = _ask(
        netlink, _GET_ROUTE, _ROUTE.pack(family, bits, 0, 0, 0, 0, 0, 0, 0), address.packed
    )
    kind = _ROUTE.unpack_from(answer)[7]
    route = dict(_attributes(answer[_ROUTE.size :]))
    if kind != _UNICAST or _OUT_INTERFACE not in route:
        return None
    if _GATEWAY in route or _VIA in route:
        return Place(near=False)
    (interface,) = struct.unpack("=i", route[_OUT_INTERFACE])
    try:
        answer = _ask(
            netlink,
            _GET_NEIGHBOUR,
            _NEIGHBOUR.pack(family, 0, 0, interface, 0, 0, 0),
            address.packed,
        )
    except FileNotFoundError:
        return Place(near=True)
    state = _NEIGHBOUR.unpack_from(answer)[4]
    card = dict(_attributes(answer[_NEIGHBOUR.size :])).get(_CARD, b"")
    # Six bytes: Ethernet, and nothing else is booted from.
    known = state & _USABLE and len(card) == 6
    return Place(near=True, card=card.hex(":") if known else None)


def _ask(netlink: socket.socket, kind: int, head: bytes, destination: bytes) -> bytes:
    """One request about one address; its one answer, or the kernel's OSError."""
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(destination), _DESTINATION) + destination
    body = head + attribute
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
    answer = netlink.recv(65536)
    length, said, _, _, _ = _HEADER.unpack_from(answer)
    if said == _ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise OSError(-number, os.strerror(-number))
    if said not in (_NEW_NEIGHBOUR, _NEW_ROUTE):
        raise OSError(f"netlink answered with a message of type {said}")
    return answer[_HEADER.size : length]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _ATTRIBUTE_TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
