# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a menu's text screen shows: the lines that renderer and preview have in common."""

from __future__ import annotations

from ansible_collections.slipway.imaging.plugins.plugin_utils._ascii_text import to_ascii
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import Item, Menu
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS

# iPXE's screen has 80 columns; it leaves one free at each side, and two more around an item.
COLUMNS = 80
TITLE_COLUMNS = 78
LINE_COLUMNS = 74
# The seconds left stand at the right end of the chosen line.
ITEM_COLUMNS = LINE_COLUMNS - 7
# The key that shows the hidden items, too.
HIDDEN_KEY = "h"

# iPXE expands ${name} wherever it stands, so that braces can't be shown.
BRACES = str.maketrans("{}", "()")

UNKNOWN_NOTE = "This PC is not in the inventory. It booted from the card "


def title(menu: Menu) -> str:
    """Return the line above the menu, which ends in the machine's name."""
    machine = f" - {menu.machine}" if menu.machine else ""
    return _fit(menu.title, TITLE_COLUMNS - len(machine), "Slipway") + machine


def banner(menu: Menu) -> tuple[str, ...]:
    """Return the lines between title and items, without those that can't be shown."""
    lines = (_fit(line, LINE_COLUMNS, "") for line in menu.banner)
    return tuple(shown for line, shown in zip(menu.banner, lines, strict=True) if shown or not line)


def item_text(item: Item) -> str:
    """Return an item's line."""
    return _fit(item.title, ITEM_COLUMNS, f"{ACTIONS[item.action].title} ({item.id})")


def _fit(text: str, columns: int, instead: str) -> str:
    """Return text in ASCII that fits, or another one when most of its letters can't be shown."""
    shown, lost = to_ascii(text)
    shown = " ".join(shown.translate(BRACES).split())
    if not shown or (lost and 2 * lost >= sum(char.isalnum() for char in text)):
        shown = instead
    return shown if len(shown) <= columns else shown[: columns - 3].rstrip() + "..."
