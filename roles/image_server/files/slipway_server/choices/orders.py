# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine boots into when an administrator has given an order for its next boot."""

from __future__ import annotations

import logging

from ..base.config import Config
from ..base.threads import Run
from ..jobs.next_boots import NextBoot, NextBoots
from ..sessions import boot_script
from .menu_files import MenuFiles

log = logging.getLogger(__name__)


class Orders:
    """Runs in the event loop."""

    def __init__(self, config: Config, next_boots: NextBoots, menus: MenuFiles, run: Run) -> None:
        """``run`` does blocking work in a thread."""
        self._config = config
        self._next_boots = next_boots
        self._menus = menus
        self._run = run

    async def boot_script(self, waiting: NextBoot, mac: str, address: str | None) -> str | None:
        """The script of an order for its machine, which boots from that card; it is used up now."""
        order = await self._next_boots.take(waiting, address)
        if order is None:
            return None
        log.info("%s boots into %s, once", order.machine, order.item)
        menu = await self._run(self._menus.of, order.machine)
        if menu is not None and any(item.id == order.item for item in menu.items):
            return boot_script.render_item(self._config, order.item, order.id, menu.keymap)
        card = mac.replace(":", "-")
        return boot_script.render_menu_item(self._config, order.item, card)
