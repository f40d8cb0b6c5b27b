# SPDX-License-Identifier: GPL-3.0-or-later
"""A router that announces nothing, so that network boot need not wait for one.

iPXE configures IPv4 and IPv6 side by side and goes on when both have ended. Where no
router answers, it solicits one for 16 s, whatever DHCP said long ago: a quarter of
the time that a lab PC takes to boot, at every boot. Most real networks have a router
that speaks IPv6. This one says that it is no default router and knows no prefix.
"""

from __future__ import annotations

import socket
import struct

# RFC 4861: sections 4.1 and 4.2, and 6.1 for the hop limit that proves a local sender.
SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
# type, code, checksum (the kernel's work), hop limit, flags, lifetime, reachable, retransmit
NOTHING = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)


class Router:
    """Answers every router solicitation on one interface; needs root."""

    def __init__(self, interface: str) -> None:
        """Listen where routers are asked for."""
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex(interface)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
        )
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
        self._all_nodes = (ALL_NODES, 0, 0, index)

    def answer(self) -> bool:
        """Read one packet; advertise if it asks for a router, and return whether it did."""
        packet = self.socket.recv(2048)
        if packet[:1] != bytes([SOLICITATION]):
            return False
        self.socket.sendto(NOTHING, self._all_nodes)
        return True
