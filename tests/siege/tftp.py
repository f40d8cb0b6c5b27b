# SPDX-License-Identifier: GPL-3.0-or-later
"""pxe_server's part in the siege: a real dnsmasq as the role has it, and transfers nobody takes."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..unit.roles.namespace import Namespace
from ..unit.roles.rendering import render
from ..unit.roles.test_real_dnsmasq import LOADER_BYTES, RANGE, slipway
from .attacks import ATTACKER, Target

_ASK = b"\0\1loader\0octet\0blksize\0001408\0"
_BLOCK = 1408
# A transfer that nobody takes is given up by dnsmasq after half a minute.
_AGAIN_SECONDS = 10


@dataclass(frozen=True)
class Here(Namespace):
    """The siege's own network, where its programs are already."""

    pid: int = 0

    def words(self, *argv: str) -> list[str]:
        """Return the command."""
        return list(argv)


@contextmanager
def tftp_server(folder: Path) -> Iterator[None]:
    """Run the role's dnsmasq on loopback, with the role's limit of askers."""
    render(folder, {"full": {"pxe_server_interface": "lab0", "pxe_server_dhcp_range": RANGE}}, {})
    for name, own, ours in (
        ("full.dnsmasq.conf", "interface=lab0\nexcept-interface=lo", "interface=lo"),
        ("full.tftp.nft", '"lab0"', '"lo"'),
    ):
        text = (folder / name).read_text()
        assert own in text
        (folder / name).write_text(text.replace(own, ours))
    subprocess.run(["nft", "-f", folder / "full.tftp.nft"], check=True)
    try:
        with slipway(Here(), folder, "full", folder):
            yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "slipway_tftp"], check=True)


def dead_transfers(target: Target, stop: threading.Event) -> None:
    """60 transfers that are asked for and never taken, again and again."""
    while not stop.is_set():
        held = []
        for _ in range(60):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((ATTACKER, 0))
            one.sendto(_ASK, (target.host, 69))
            held.append(one)
        stop.wait(_AGAIN_SECONDS)
        for one in held:
            one.close()


def fetch_loader(host: str) -> None:
    """Fetch the boot loader as firmware does, with its patience of a few tries."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(3)
        for _try in range(4):
            one.sendto(_ASK, (host, 69))
            try:
                packet, peer = one.recvfrom(2000)
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("TFTP gives no answer")
        assert packet[:2] == b"\0\6", packet
        one.sendto(b"\0\4\0\0", peer)
        size, wanted, last = 0, 1, _BLOCK
        while last == _BLOCK:
            packet, peer = one.recvfrom(2000)
            kind, block = struct.unpack("!HH", packet[:4])
            one.sendto(struct.pack("!HH", 4, block), peer)
            if kind == 3 and block == wanted:
                last = len(packet) - 4
                size, wanted = size + last, wanted + 1
        assert size == LOADER_BYTES
