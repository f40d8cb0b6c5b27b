# SPDX-License-Identifier: GPL-3.0-or-later
"""The iPXE script on a medium: try each network card until one reaches the image server.

Nothing in it is secret, and nothing in it changes when the server's menus do: it only finds the
server and goes on with the first script of every machine.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from slipway_media.errors import MediaError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")


@dataclass(frozen=True)
class Fixed:
    """A fixed IPv4 address, for a network without DHCP; router and name server may be empty."""

    address: ipaddress.IPv4Interface
    router: str = ""
    dns: str = ""


def parse_fixed(address: str, router: str, dns: str) -> Fixed | None:
    """Return a checked fixed address, or None when there is none and DHCP is asked."""
    if not address:
        if router or dns:
            raise MediaError(
                "There is a router or name server, but no address.",
                "Set boot_media_address too, or none of them: then DHCP is asked.",
            )
        return None
    try:
        host, _, prefix = address.partition("/")
        if not _ADDRESS.fullmatch(host) or not prefix.isdecimal() or not 1 <= int(prefix) <= 30:
            raise ValueError("it must look like 192.168.1.77/24")
        fixed = ipaddress.IPv4Interface(address)
        if fixed.ip in (fixed.network.network_address, fixed.network.broadcast_address):
            raise ValueError(f"it is the first or last address of {fixed.network}")
        for text in filter(None, (router, dns)):
            ipaddress.IPv4Address(text)
        if router and ipaddress.IPv4Address(router) not in fixed.network:
            raise ValueError(f"the router {router} is not in {fixed.network}")
    except ValueError as error:
        raise MediaError(
            f"{address!r} is no fixed address for a PC: {error}.",
            "Correct boot_media_address, boot_media_router and boot_media_dns.",
        ) from error
    return Fixed(fixed, router, dns)


def url_host(server: str) -> str:
    """Return the server's name or address as a URL has it."""
    try:
        address = ipaddress.ip_address(server)
        return f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        pass
    if not _HOST.fullmatch(server):
        raise MediaError(
            f"{server!r} is no name or address of a server.", "Correct pxe_server_address."
        )
    return server


def render(server: str, fixed: Fixed | None = None) -> str:
    """Render the script for one image server."""
    host = url_host(server)
    card = "net${slwcard}"
    lines = [
        "#!ipxe",
        f"# Finds the image server {host}. Made by playbooks/boot_media.yml.",
        ":again",
        "set slwcard:int32 0",
        ":card",
        f"isset ${{{card}/mac}} || goto nothing",
        f"echo Trying the network card ${{{card}/mac}}",
        *(_static(card, fixed) if fixed else [f"dhcp {card} || goto next"]),
        f"chain --replace http://{host}/boot.ipxe ||",
        ":next",
        f"ifclose {card} ||",
        "inc slwcard",
        "goto card",
        ":nothing",
        "echo",
        f"echo No network card of this PC reached the image server {host}.",
        "echo Is the cable plugged in? Cards that iPXE does not know are not in the list above.",
        "prompt --timeout 30000 Press a key, or wait 30 seconds, to try again. ||",
        "goto again",
    ]
    return "\n".join(lines) + "\n"


def _static(card: str, fixed: Fixed) -> list[str]:
    """Return the lines that give a card its address, and tell the imaging environment of it."""
    settings = {
        "ip": str(fixed.address.ip),
        "netmask": str(fixed.address.netmask),
        "gateway": fixed.router,
        "dns": fixed.dns,
    }
    lines = [f"set {card}/{name} {value}" for name, value in settings.items() if value]
    told = f"{fixed.address},{fixed.router},{fixed.dns}"
    # The scripts of the server put this on the kernel's command line.
    return [*lines, f"ifopen {card} || goto next", f"set slwip slipway.ip={told},${{{card}/mac}}"]
