# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own network: a namespace with one bridge and no way out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from slipway_lab.config import Config
from slipway_lab.tools import run

# A bridge without a plugged port has no carrier and sends nothing, the first wake packet
# included. This pair of plugs is always in; nothing is flooded to it.
PLUG, FAR_END = "slw-plug", "slw-plug-far"


def ensure(config: Config) -> bool:
    """Make the namespace and the bridge; return whether anything had to be made."""
    changed = False
    if config.namespace not in namespaces(config):
        run(config, "ip", "netns", "add", config.namespace)
        changed = True
    ip = ("ip", "-n", config.namespace)
    links = {link["ifname"]: link for link in _json(config, *ip, "addr")}
    # Going up is the last step of making the bridge: one that is not up is half-made.
    if PLUG not in links or "UP" not in links.get(config.bridge, {}).get("flags", ()):
        for name in {config.bridge, PLUG} & set(links):
            run(config, *ip, "link", "delete", name)
        _make_bridge(config, *ip)
        return True
    return changed


def _make_bridge(config: Config, *ip: str) -> None:
    run(config, *ip, "link", "set", "lo", "up")
    # Without an address of its own a bridge takes the lowest of its ports, and the server
    # would change its MAC whenever a PC goes on or off.
    bridge = ("address", _mac(config.namespace), "type", "bridge")
    run(config, *ip, "link", "add", config.bridge, *bridge)
    run(config, *ip, "link", "add", PLUG, "type", "veth", "peer", "name", FAR_END)
    quiet = ("flood", "off", "mcast_flood", "off", "bcast_flood", "off")
    run(config, *ip, "link", "set", PLUG, "master", config.bridge)
    run(config, *ip, "link", "set", PLUG, "type", "bridge_slave", *quiet)
    for end in (PLUG, FAR_END):
        run(config, *ip, "link", "set", end, "addrgenmode", "none", "arp", "off")
        run(config, *ip, "link", "set", end, "up")
    run(config, *ip, "addr", "add", config.address, "brd", "+", "dev", config.bridge)
    run(config, *ip, "link", "set", config.bridge, "up")


def _mac(text: str) -> str:
    """Return a MAC address of QEMU's range that is always the same for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, *digest[:4]))


def namespaces(config: Config) -> set[str]:
    """Return the names of all network namespaces of this host."""
    return {item["name"] for item in _json(config, "ip", "netns", "list")}


def _json(config: Config, *argv: str) -> list[dict[str, Any]]:
    text = run(config, argv[0], "-j", *argv[1:])
    found: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    return found
