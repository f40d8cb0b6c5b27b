# SPDX-License-Identifier: GPL-3.0-or-later
"""The iPXE scripts that boot a machine into what is asked of it."""

from __future__ import annotations

import re

from ..base.config import Config
from ..base.names import ITEM_PATTERN

_SESSION_ID = re.compile(r"[0-9a-f]{16}\Z")
_TICKET = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")
_ITEM = re.compile(ITEM_PATTERN + r"\Z")
_MAC = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}\Z")


def render(config: Config, session_id: str, ticket: str) -> str:
    """Boot into a session; the ticket shows at check-in who fetched this."""
    if not _SESSION_ID.match(session_id) or not _TICKET.match(ticket):
        raise ValueError(f"not a session id and a ticket: {session_id!r}")
    return _environment(config, f"slipway.session={session_id} slipway.ticket={ticket}")


def render_item(config: Config, item: str, order: str, keymap: str = "") -> str:
    """Boot into an item of the machine's menu, because an administrator gave that order.

    MenuFiles has checked the name of the key map.
    """
    if not _ITEM.match(item) or not _SESSION_ID.match(order):
        raise ValueError(f"not an item and an order: {item!r} {order!r}")
    keyboard = f" slipway.keyboard={keymap}" if keymap else ""
    return _environment(config, f"slipway.item={item} slipway.once={order}{keyboard}")


def render_menu_item(config: Config, item: str, mac: str) -> str:
    """Go on to the machine's menu, which leads on to that item by itself."""
    if not _ITEM.match(item) or not _MAC.match(mac):
        raise ValueError(f"not an item and a card: {item!r} {mac!r}")
    return f"#!ipxe\nset slwonce {item}\nchain --replace http://{config.url_host}/boot/{mac}.ipxe\n"


def _environment(config: Config, words: str) -> str:
    """Go on to the script of the role boot_menu, which boots the environment with these words."""
    url = f"http://{config.url_host}/environment.ipxe"
    return f"#!ipxe\nset slwwish {words}\nchain --replace {url}\n"
