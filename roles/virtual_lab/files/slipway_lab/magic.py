# SPDX-License-Identifier: GPL-3.0-or-later
"""Magic packets: what a sleeping network card listens for."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

SYNC = b"\xff" * 6
REPEATS = 16
ETHER_WAKE = 0x0842
ETHER_IPV4 = 0x0800
ETHERNET = struct.Struct("!6s6sH")
UDP = 17


@dataclass(frozen=True)
class Magic:
    """A magic packet: whom it wakes and how it came."""

    mac: str
    source: str
    via: str


def find(frame: bytes) -> Magic | None:
    """Find a magic packet in an Ethernet frame, wherever in it and in whatever protocol.

    A card does no more than this: six bytes FF, then its own address sixteen
    times. A longer run of FF is legal, so the search moves on byte by byte.
    """
    at = frame.find(SYNC, ETHERNET.size)
    while at >= 0:
        address = frame[at + 6 : at + 12]
        end = at + 6 + 6 * REPEATS
        if end <= len(frame) and address != SYNC and frame[at + 6 : end] == address * REPEATS:
            break
        at = frame.find(SYNC, at + 1)
    if at < 0:
        return None
    _, sender, _ = ETHERNET.unpack_from(frame)
    return Magic(mac=_mac(address), source=_mac(sender), via=_via(frame))


def _mac(raw: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in raw)


def _via(frame: bytes) -> str:
    """Say how a frame travelled, for the log."""
    kind = ETHERNET.unpack_from(frame)[2]
    packet = frame[ETHERNET.size :]
    if kind == ETHER_IPV4 and len(packet) >= 28 and packet[9] == UDP:
        header = (packet[0] & 0x0F) * 4
        source, target = (socket.inet_ntoa(packet[i : i + 4]) for i in (12, 16))
        ports = struct.unpack_from("!HH", packet, header)
        return f"udp {source}:{ports[0]} > {target}:{ports[1]}"
    return f"ethertype 0x{kind:04x}"
