# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP server that is not ours: another dnsmasq, in a network namespace of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from slipway_lab.api import Lab

NAMESPACE = "slipway-foreign"
PORT = "slw-foreign"
ADDRESS = "10.77.0.2"
FIRST, LAST = "10.77.0.150", "10.77.0.199"


@dataclass(frozen=True)
class Foreign:
    """The foreign server and what it wrote."""

    log: Path

    def lent(self, address: str) -> bool:
        """Whether an address is one of those that it hands out."""
        return IPv4Address(FIRST) <= ip_address(address) <= IPv4Address(LAST)

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a program beside it, in a network that is the PCs' own."""
        words = ["ip", "netns", "exec", NAMESPACE, *argv]
        return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def foreign_dhcp(lab: Lab, folder: Path) -> Iterator[Foreign]:
    """Plug a foreign DHCP server into the lab's bridge."""
    inside = ("-n", lab.config.namespace)
    # What a killed test left.
    for left in (("netns", "del", NAMESPACE), (*inside, "link", "del", PORT)):
        subprocess.run(["ip", *left], check=False, stderr=subprocess.DEVNULL)
    ip("netns", "add", NAMESPACE)
    server = None
    try:
        ip(*inside, "link", "add", PORT, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        ip(*inside, "link", "set", PORT, "master", lab.config.bridge, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{ADDRESS}/24", "brd", "+", "dev", "eth0")
        ip("-n", NAMESPACE, "link", "set", "eth0", "up")
        log = folder / "foreign.log"
        server = subprocess.Popen(
            [
                *("ip", "netns", "exec", NAMESPACE, "dnsmasq", "--keep-in-foreground"),
                *("--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces"),
                *("--user=root", "--no-ping", f"--dhcp-range={FIRST},{LAST},255.255.255.0,1h"),
                *("--dhcp-authoritative", "--dhcp-option=option:router", "--log-dhcp"),
                f"--dhcp-leasefile={folder / 'leases'}",
                *(f"--log-facility={log}", f"--pid-file={folder / 'pid'}"),
            ]
        )
        yield Foreign(log)
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


# Asks as PXE firmware or iPXE does, and prints what is offered. BIOS firmware names a service of a
# menu that it was offered, here as the hex digits of option 43.
ASK = r"""
import json, socket, struct, sys

HEAD = "!4BIHH4s4s4s4s16s64s128s"


def packet(kind, arch, ipxe, address, agent, service):
    flags = 0 if address else 0x8000
    mine = socket.inet_aton(address or "0.0.0.0")
    mac = bytes.fromhex("5254007700aa")
    relay = socket.inet_aton(agent or "0.0.0.0")
    head = struct.pack(
        HEAD, 1, 1, 6, 0, 0x5157, 0, flags, mine, bytes(4), bytes(4), relay, mac, b"", b""
    )
    options = [(53, bytes([kind])), (60, b"PXEClient:Arch:%05d:UNDI:003016" % arch)]
    options += [(93, struct.pack("!H", arch)), (94, b"\1\3\x10"), (97, bytes(17))]
    if service:
        options += [(43, bytes.fromhex(service))]
    if ipxe:
        options += [(77, b"iPXE"), (175, b"\x13\1\1")]
    body = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return head + b"\x63\x82\x53\x63" + body + b"\xff"


def offer(data):
    fields = struct.unpack(HEAD, data[:236])
    options, at = {}, 240
    while at < len(data) and data[at] != 255:
        length = data[at + 1]
        options[data[at]] = data[at + 2 : at + 2 + length].hex()
        at += 2 + length
    return {
        "address": socket.inet_ntoa(fields[8]),
        "server": socket.inet_ntoa(fields[9]),
        "file": fields[13].rstrip(b"\0").decode(),
        "options": options,
    }


server = sys.argv[1]
found = {}
for name, kind, arch, ipxe, address, agent, port, *service in json.loads(sys.argv[2]):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(10)
        # The foreign server listens on port 67 too: an answer to us must find us first.
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            asker.setsockopt(socket.SOL_SOCKET, option, 1)
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        asker.bind((agent, 67 if agent else 68))
        asker.sendto(packet(kind, arch, ipxe, address, agent, "".join(service)), (server, port))
        found[name] = offer(asker.recv(2048))
print(json.dumps(found))
"""
