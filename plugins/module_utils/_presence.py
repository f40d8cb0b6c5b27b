# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine is on: it answers at one of its addresses, and with one of its cards.

That a neighbour has answered ARP is no proof: network cards do that for a machine that is off.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

# Windows shares, SSH, Windows RPC, remote desktop: one of these answers, be it with a refusal.
PORTS = (445, 22, 135, 3389)
PING = "ping"
_ECHO = 8
_HEADER = struct.Struct("!BBHHH")


@dataclass(frozen=True)
class Answer:
    """Who answered, and to what: `ping` or `TCP 445`."""

    address: str
    how: str


@dataclass(frozen=True)
class Neighbour:
    """What the kernel knows of a host in its own networks."""

    address: str
    card: str


def parse_neighbours(text: str) -> list[Neighbour]:
    """Read the output of ``ip -j -4 neigh``."""
    return [
        Neighbour(entry["dst"], entry["lladdr"].lower())
        for entry in json.loads(text or "[]")
        if entry.get("lladdr")
    ]


def places(known: Iterable[str], neighbours: Iterable[Neighbour], macs: Sequence[str]) -> list[str]:
    """Return where a machine may be: what is known, and where its cards were seen."""
    seen = [each.address for each in neighbours if each.card in macs]
    return list(dict.fromkeys(address for address in (*known, *seen) if address))


def is_of(answer: Answer, neighbours: Iterable[Neighbour], macs: Sequence[str]) -> bool:
    """Tell whether it was the machine that answered, and nobody who has its address now."""
    cards = [each.card for each in neighbours if each.address == answer.address]
    # Behind a router no card is seen.
    return not cards or any(card in macs for card in cards)


def knock(addresses: Sequence[str], seconds: float) -> list[Answer]:
    """Ask each address by ping and at the ports; return the first answer of each, in time.

    It ends as soon as every address has answered, and after so many seconds at the latest.
    """
    found: dict[str, Answer] = {}
    with ExitStack() as stack:
        poll, sockets = select.poll(), {}
        for address in addresses:
            for how, made in _asked(address):
                stack.enter_context(made)
                sockets[made.fileno()] = (address, how, made)
                poll.register(made, select.POLLIN if how == PING else select.POLLOUT)
        deadline = time.monotonic() + seconds
        while sockets and len(found) < len(set(addresses)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for number, _event in poll.poll(left * 1000):
                address, how, made = sockets[number]
                said = _is_reply(made, address) if how == PING else _has_answered(made)
                if said is None:
                    continue
                poll.unregister(number)
                del sockets[number]
                if said:
                    found.setdefault(address, Answer(address, how))
    return list(found.values())


def _asked(address: str) -> Iterable[tuple[str, socket.socket]]:
    with suppress(OSError):
        ping = _icmp()
        with suppress(OSError):
            ping.sendto(_echo(), (address, 0))
        yield PING, ping
    for port in PORTS:
        asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        asking.setblocking(False)
        code = asking.connect_ex((address, port))
        if code in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
            yield f"TCP {port}", asking
        else:
            asking.close()


def _icmp() -> socket.socket:
    """A socket for pings: one that the kernel lets everybody have, or root's."""
    kind = socket.SOCK_DGRAM
    try:
        made = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
    except PermissionError:
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    made.setblocking(False)
    return made


def _echo() -> bytes:
    number = os.getpid() & 0xFFFF
    # Of a header and nothing behind it, the sum of all words is the checksum's complement.
    total = (_ECHO << 8) + number + 1
    total = (total & 0xFFFF) + (total >> 16)
    return _HEADER.pack(_ECHO, 0, ~total & 0xFFFF, number, 1)


def _is_reply(made: socket.socket, address: str) -> bool | None:
    """True: that host answers. None: it was something else."""
    try:
        packet, sender = made.recvfrom(1024)
    except BlockingIOError:
        return None
    except OSError:
        # The kernel says that nobody is there.
        return False
    # A raw socket shows the IP header, too.
    header = (packet[0] & 15) * 4 if packet[:1] >= b"\x40" else 0
    return True if sender[0] == address and packet[header : header + 1] == b"\0" else None


def _has_answered(made: socket.socket) -> bool:
    """A refusal is an answer, too: somebody is there to refuse."""
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED)
