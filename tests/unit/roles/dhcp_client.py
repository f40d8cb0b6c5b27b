# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP client of many cards: what a real server answers each of them, as JSON lines.

Runs in a network namespace of its own, ``unshare --map-root-user --net python dhcp_client.py FOLDER
MAC...``, where it starts dnsmasq with ``FOLDER/dhcp-hosts`` on one end of a veth pair and asks on
the other. Packets are made by hand (RFC 2131, figure 1): the client's card is any that it says.
"""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

SERVER, NETWORK = "10.9.9.1", "10.9.9.1/24"
DISCOVER, REQUEST = 1, 3
_ALL = b"\xff" * 6
_COOKIE = b"\x63\x82\x53\x63"


def checksum(data: bytes) -> int:
    """The internet checksum of an IP header (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(card: bytes, kind: int, options: bytes = b"") -> bytes:
    """An Ethernet frame with a DHCP message to everybody, which asks for an answer to everybody."""
    message = struct.pack("!BBBBIHH16s", 1, 1, 6, 0, int.from_bytes(card[2:]), 0, 0x8000, b"")
    message += card.ljust(16, b"\0") + bytes(64 + 128) + _COOKIE
    # Asked for: the netmask, the host name, the lease's time.
    message += bytes([53, 1, kind, 55, 3, 1, 12, 51]) + options + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHIBBH4s4s", 0x45, 0, 20 + len(udp), 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return _ALL + card + b"\x08\x00" + head + udp


def answer(frame: bytes, card: bytes) -> dict[int, bytes] | None:
    """The options of a server's answer to a card, and its address as option 0."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[34:36] != b"\x00\x43":
        return None
    message = frame[42:]
    if message[28:34] != card:
        return None
    found, rest = {0: message[16:20]}, message[240:]
    while rest and rest[0] != 255:
        if rest[0]:
            found[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :] if rest[0] else rest[1:]
    return found


def ask(wire: socket.socket, card: bytes, kind: int, options: bytes = b"") -> dict[int, bytes]:
    """Ask until there is an answer, for at most six seconds."""
    for _ in range(3):
        wire.send(packet(card, kind, options))
        end = time.monotonic() + 2
        while (left := end - time.monotonic()) > 0:
            wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                if found := answer(wire.recv(2048), card):
                    return found
    return {}


def main(folder: str, *macs: str) -> None:
    """Bring the network up, ask for every card, say what came."""
    for command in (
        "ip link set lo up",
        "ip link add server type veth peer name client",
        f"ip addr add {NETWORK} dev server",
        "ip link set server up",
        "ip link set client up",
    ):
        subprocess.run(command.split(), check=True)
    dnsmasq = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--no-ping"]
    dnsmasq += ["--interface=server", "--bind-interfaces", "--dhcp-authoritative"]
    dnsmasq += ["--dhcp-range=10.9.9.100,10.9.9.200,255.255.255.0,1h", "--dhcp-ignore-clid"]
    dnsmasq += [f"--dhcp-hostsfile={folder}/dhcp-hosts", f"--dhcp-leasefile={folder}/leases"]
    with (
        (Path(folder) / "log").open("w") as log,
        subprocess.Popen([*dnsmasq, "--log-facility=-", "--pid-file="], stderr=log) as server,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire,
    ):
        try:
            wire.bind(("client", 0))
            for mac in macs:
                card = bytes.fromhex(mac.replace(":", ""))
                offer = ask(wire, card, DISCOVER)
                chosen = b"\x32\x04" + offer.get(0, b"") + b"\x36\x04" + socket.inet_aton(SERVER)
                given = ask(wire, card, REQUEST, chosen) if offer else {}
                print(
                    json.dumps(
                        {
                            "mac": mac,
                            "address": socket.inet_ntoa(given[0]) if given else None,
                            "name": given.get(12, b"").decode(),
                            "seconds": int.from_bytes(given.get(51, b"")),
                        }
                    )
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
