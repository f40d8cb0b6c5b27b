# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger, or a PC with a token for something else, sends. Each goes on until told to stop.

A new kind of attack is a function of a `Target` and an `Event`, added to the list of `siege.py`.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..unit.server.heavy import BOMBS, envelope

ATTACKER = "127.0.0.66"
BOOT = "/boot/52-54-00-aa-00-99.ipxe"


@dataclass(frozen=True)
class Target:
    """The server as an attacker at an address of his own sees it."""

    host: str
    clear_port: int
    tls_port: int
    ca: Path
    image: str
    token: str
    """Of a session for a backup of `image`."""
    scale: float
    """1 is everything; a short form takes less of all."""

    def clear(self) -> socket.socket:
        """A connection to the port that PCs boot from."""
        return self._connect(self.clear_port)

    def tls(self) -> ssl.SSLSocket:
        """A connection to the API."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return context.wrap_socket(self._connect(self.tls_port), server_hostname=self.host)

    def _connect(self, port: int) -> socket.socket:
        made = socket.create_connection((self.host, port), 10, (ATTACKER, 0))
        made.settimeout(10)
        return made

    def head(self, method: str, path: str, size: int, *, token: bool) -> bytes:
        """A request up to its body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: server", f"Content-Length: {size}"]
        lines += [f"Authorization: Bearer {self.token}"] if token else []
        return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode("ascii")


@contextmanager
def crew(work: list[threading.Thread]) -> Iterator[None]:
    """Threads that are joined at the end."""
    for thread in work:
        thread.start()
    try:
        yield
    finally:
        for thread in work:
            thread.join(30)


def bomb(target: Target, stop: threading.Event) -> None:
    """A publish of 127 MiB that are no manifest, again and again."""
    body = envelope(BOMBS["pairs"](int((127 << 20) * target.scale)))
    while not stop.is_set():
        with suppress(OSError), target.tls() as line:
            line.settimeout(60)
            line.sendall(target.head("POST", f"/v1/images/{target.image}", len(body), token=True))
            line.sendall(body)
            line.recv(4096)


def held_bodies(target: Target, stop: threading.Event) -> None:
    """Thirteen bodies of 100 MiB without a token, each held before its end."""

    def hold() -> None:
        while not stop.is_set():
            with suppress(OSError), target.tls() as line:
                line.sendall(target.head("POST", "/v1/images/pc1", 100 << 20, token=False))
                for _ in range(99):
                    line.sendall(bytes(1 << 20))
                stop.wait(5)

    with crew([threading.Thread(target=hold) for _ in range(13)]):
        stop.wait()


def long_lines(target: Target, stop: threading.Event) -> None:
    """Requests with lines as long as they may be, as fast as they go."""
    line = b"GET /env/" + b"x" * 3900 + b" HTTP/1.1\r\nHost: server\r\n\r\n"

    def send() -> None:
        while not stop.is_set():
            with suppress(OSError), target.clear() as connection:
                while not stop.is_set():
                    connection.sendall(line * 16)
                    connection.recv(65536)

    with crew([threading.Thread(target=send) for _ in range(4)]):
        stop.wait()


def connections(target: Target, stop: threading.Event) -> None:
    """17,500 connections in 15 s, half of them with the first byte of something, all held."""
    count, seconds = int(17_500 * target.scale), 15 * target.scale
    held, began = [], time.monotonic()
    while not stop.is_set() and len(held) < count:
        with suppress(OSError):
            made = target.clear() if len(held) % 4 < 2 else target._connect(target.tls_port)
            if len(held) % 2:
                made.sendall(b"G" if len(held) % 4 < 2 else b"\x16")
            held.append(made)
        ahead = len(held) / count * seconds - (time.monotonic() - began)
        stop.wait(max(ahead, 0))
    stop.wait()
    for each in held:
        each.close()


def slow_uploads(target: Target, stop: threading.Event) -> None:
    """32 chunks of one session, a byte a second."""

    def send() -> None:
        while not stop.is_set():
            with suppress(OSError), target.tls() as line:
                line.sendall(target.head("PUT", "/v1/chunks/" + "0" * 64, 4 << 20, token=True))
                while not stop.wait(1):
                    line.sendall(b"x")

    with crew([threading.Thread(target=send) for _ in range(32)]):
        stop.wait()


def costly_json(target: Target, stop: threading.Event) -> None:
    """Check-ins that are as dear to parse as they may be."""
    keys = {f"k{number}": {} for number in range(4000)}
    kinds = [{"session": "0" * 16, "macs": ["x"], "hardware": keys}, keys, {"macs": [[]] * 4000}]
    bodies = [json.dumps(kind).encode("ascii") for kind in kinds]

    def send() -> None:
        while not stop.is_set():
            with suppress(OSError), target.tls() as line:
                while not stop.is_set():
                    body = random.choice(bodies)
                    line.sendall(target.head("POST", "/v1/checkin", len(body), token=False) + body)
                    line.recv(65536)

    with crew([threading.Thread(target=send) for _ in range(8)]):
        stop.wait()


def unread_answers(target: Target, stop: threading.Event) -> None:
    """The service's description, 6000 times without a token, and none of it is read."""
    lines = []
    while not stop.is_set() and len(lines) < 100:
        with suppress(OSError):
            line = target.tls()
            line.sendall(target.head("GET", "/v1/openapi.json", 0, token=False) * 60)
            lines.append(line)
    stop.wait()
    for each in lines:
        each.close()


def handshakes(target: Target, stop: threading.Event) -> None:
    """TLS connections that are opened and closed again, as fast as they go."""

    def greet() -> None:
        while not stop.is_set():
            with suppress(OSError):
                target.tls().close()

    with crew([threading.Thread(target=greet) for _ in range(8)]):
        stop.wait()


# That on TFTP needs a port of its own: it stands in tftp.py, and runs in the siege's own network.
ATTACKS = (
    bomb,
    held_bodies,
    long_lines,
    connections,
    slow_uploads,
    costly_json,
    unread_answers,
    handshakes,
)
