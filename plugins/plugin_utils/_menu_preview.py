# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A menu as its user will see it, for whoever writes one and has no PC at hand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen as screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import Colours, Item, Menu
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS


def preview(menu: Menu) -> list[str]:
    """Return the screen in a frame, and what stands behind it in sentences."""
    return [*_screen(menu), "", *_notes(menu)]


def _screen(menu: Menu) -> Iterator[str]:
    width = screen.COLUMNS - 2
    frame = "+" + "-" * width + "+"
    yield frame
    yield "|" + screen.title(menu).center(width).rstrip().ljust(width) + "|"
    yield "|" + " " * width + "|"
    banner = screen.banner(menu)
    for line in (*banner, *([""] if banner else [])):
        yield _row(line)
    for item in menu.visible:
        chosen = item.id == menu.default
        clock = f"({menu.timeout})" if chosen and menu.timeout else ""
        yield _row(screen.item_text(item), ">" if chosen else " ", clock)
    if menu.machine is None:
        yield _row("")
        yield _row(f"{screen.UNKNOWN_NOTE}52:54:00:..")
    yield frame


def _row(text: str, mark: str = " ", clock: str = "") -> str:
    width = screen.COLUMNS - 4
    return f"|{mark} {text.ljust(width - len(clock) - 1)}{clock} |"


def _notes(menu: Menu) -> Iterator[str]:
    if menu.timeout:
        yield f"After {menu.timeout} s without a key: {menu.default}. Escape boots the local disk."
    else:
        yield f"It waits for a key, with {menu.default} chosen. Escape boots the local disk."
    if menu.hidden:
        yield f"The key {screen.HIDDEN_KEY} shows the hidden items, too."
    for item in menu.items:
        yield from textwrap.wrap(
            f"{item.id}: {'; '.join(_facts(item))}", 78, subsequent_indent="    "
        )
    if menu.colours != Colours():
        yield "The colours show where the boot loader knows colours: not with Debian 12's iPXE."


def _facts(item: Item) -> Iterator[str]:
    yield ACTIONS[item.action].meaning(item.work)
    if item.hidden:
        yield "hidden"
    if item.password_hash:
        yield "asks for a password"
    if screen.item_text(item) != item.title:
        yield f"the title is {item.title!r}, which this screen can't show"
