"""The lab's own network: a namespace with one bridge and no way out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from slipway_lab.config import Config
from slipway_lab.tools import run


def ensure(config: Config) -> bool:
    """Make the namespace and the bridge; return whether anything had to be made."""
    changed = False
    if config.namespace not in namespaces(config):
        run(config, "ip", "netns", "add", config.namespace)
        changed = True
    ip = ("ip", "-n", config.namespace)
    links = {link["ifname"]: link for link in _json(config, *ip, "addr")}
    if config.bridge not in links:
        run(config, *ip, "link", "set", "lo", "up")
        # Without an address of its own a bridge takes the lowest of its ports, and the
        # server would change its MAC whenever a PC goes on or off.
        mac = "52:54:" + hashlib.sha256(config.namespace.encode()).hexdigest()[:8]
        mac = mac[:6] + ":".join(mac[6:][i : i + 2] for i in range(0, 8, 2))
        run(config, *ip, "link", "add", config.bridge, "address", mac, "type", "bridge")
        links = {link["ifname"]: link for link in _json(config, *ip, "addr")}
        changed = True
    bridge = links[config.bridge]
    addresses = {f"{a['local']}/{a['prefixlen']}" for a in bridge["addr_info"]}
    if config.address not in addresses:
        run(config, *ip, "addr", "add", config.address, "brd", "+", "dev", config.bridge)
        changed = True
    if "UP" not in bridge["flags"]:
        run(config, *ip, "link", "set", config.bridge, "up")
        changed = True
    return changed


def namespaces(config: Config) -> set[str]:
    """Return the names of all network namespaces of this host."""
    return {item["name"] for item in _json(config, "ip", "netns", "list")}


def _json(config: Config, *argv: str) -> list[dict[str, Any]]:
    text = run(config, argv[0], "-j", *argv[1:])
    found: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    return found
