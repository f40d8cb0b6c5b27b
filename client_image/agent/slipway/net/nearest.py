# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the server's addresses this machine reaches: that of the network which it is in."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

_PAUSE = 0.5


def nearest(
    server: str,
    networks: Mapping[str, str],
    patience: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return `server`, or the URL of the network that this machine has an address in.

    With several to choose from it waits for a first address, `patience` seconds at most.
    """
    deadline = time.monotonic() + patience
    while networks:
        for network, url in networks.items():
            here = _address_towards(url)
            if here and ipaddress.ip_address(here) in ipaddress.ip_network(network):
                return url
        if _address_towards(server) or time.monotonic() > deadline:
            break
        sleep(_PAUSE)
    return server


def _address_towards(url: str) -> str:
    """Return this machine's address on the way to a server; empty without one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((urlsplit(url).hostname or "", 443))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
