# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own network."""

import subprocess
import sys

from slipway_lab.api import Lab
from slipway_lab.tools import in_namespace

# Ask from a fresh process inside the namespace; the kernel fills the checksums in.
ASK = """
import socket, sys
index = socket.if_nametoindex(sys.argv[1])
asker = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
asker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
asker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
asker.settimeout(10)
asker.sendto(bytes([133]) + bytes(7), ("ff02::2", 0, 0, index))
while (packet := asker.recv(2048))[0] != 134:
    pass
print(packet.hex())
"""


def test_a_router_answers_and_announces_nothing(lab: Lab) -> None:
    """Else iPXE solicits one for 16 s at every boot."""
    command = in_namespace(lab.config, sys.executable, "-c", ASK, lab.config.bridge)
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    packet = bytes.fromhex(answer.stdout.strip())
    flags, lifetime = packet[5], packet[6:8]
    assert len(packet) == 16, "no option, so no prefix"
    assert flags == 0
    assert lifetime == b"\0\0", "it offers itself as default router"
