# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus as GRUB scripts, over TFTP: Debian's GRUB 2.06 and later, on BIOS and, signed, on UEFI.

GRUB's script language is like a shell's. Within single quotes nothing is expanded, continued or
ended by anything but the next single quote, so every text stands in single quotes and has its own
ones taken out of them. A value that was expanded is never read as script again. What else is in a
script comes from this file, from ids, which have lower-case letters, digits and dashes, and from
settings of the image server that its role has checked.

GRUB has no line that can't be chosen: the lines of a banner are entries that do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen as screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import Colours, Item, Menu
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS, Place
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server

HEADER = "# Made by Ansible from boot_menu_* of the inventory: what is changed here is lost.\n"

# Boot loaders on local disks, in the order they are looked for, as in the role's disk.cfg: one that
# offers several systems comes before one that offers one, and the fallback is everybody's last.
LOADERS = (
    "(hd*,*)/EFI/*/shimx64.efi",
    "(hd*,*)/EFI/opensuse/shim.efi",
    "(hd*,*)/EFI/Microsoft/Boot/bootmgfw.efi",
    "(hd*,*)/EFI/BOOT/BOOTX64.EFI",
)

# GRUB's names; a background has the eight dark ones alone.
_TEXT = {
    "red": "light-red",
    "green": "light-green",
    "blue": "light-blue",
    "magenta": "light-magenta",
    "cyan": "light-cyan",
}
_BACKGROUND = {"yellow": "brown", "white": "light-gray"}

_FUNCTIONS = """\
# Nobody has the password of this user, so menus can be used and neither edited nor left for a
# command line.
set superusers=nobody
export superusers
set slw_net="$root"
export slw_net

# Sets slw_wish when a session is pending for the card that this PC booted from. GRUB takes a file
# that is not there for an empty one.
function slw_ask {
  set slw_wish=
  source "/session/$net_default_mac.cfg"
}

# Comes back only when it could not be started.
function slw_environment {
  echo 'Loading the imaging environment. This takes a minute.'
  if linux /env/vmlinuz @ARGUMENTS@ "$1" $2; then
    if initrd /env/initrd.img /env/site.cpio; then
      boot
    fi
  fi
  slw_failed
}

function slw_failed {
  echo
  echo 'This choice could not be started. Nothing was changed.'
  slw_wait
}

function slw_wait {
  echo 'Press Esc, or wait 15 seconds, to go on.'
  sleep --interruptible 15
}

# Comes back only when no disk has a loader that the firmware takes. Without root, shim would look
# for its second stage on the card instead of the disk. BIOS starts the first disk, or nothing.
function slw_disk {
  if [ "$grub_platform" = pc ]; then
    slw_drive hd0
    return
  fi
  for slw_loader in @LOADERS@; do
    if [ -f "$slw_loader" ]; then
      regexp --set=1:root --set=2:slw_path '^.([^)]*).(.*)$' "$slw_loader"
      if chainloader "$slw_path"; then
        boot
      fi
      set root="$slw_net"
    fi
  done
}

# BIOS: comes back only when the drive is not there, or not one that boots.
function slw_drive {
  set root="$1"
  if chainloader "($1)+1"; then
    boot
  fi
  set root="$slw_net"
}

function slw_local_chain {
  echo 'Booting the local disk.'
  slw_disk
  slw_no_disk
}

# The firmware's next boot entry; some firmware stops in its own menu instead.
function slw_local_exit {
  exit
}

function slw_no_disk {
  while true; do
    echo
    echo 'There is no system on the local disk that could be booted.'
    echo 'If it was just being restored: run the restore again, it goes on where it ended.'
    echo 'The image server is asked again in 30 seconds. Press Esc for the menu.'
    if sleep --interruptible 30; then
      slw_session
      slw_disk
    else
      return
    fi
  done
}

function slw_session {
  slw_ask
  if [ -n "$slw_wish" ]; then
    slw_environment "$slw_wish"
  fi
}
"""

_FIRST = """\

# The card's session, if one is pending, else its menu, else that of PCs that nobody knows.
for slw_count in 1 2 3; do
  slw_session
  if [ -z "$slw_wish" ]; then
    break
  fi
done
set slw_menu=
source "/menu/$net_default_mac.cfg"
if [ -z "$slw_menu" ]; then
  source /menu/unknown.cfg
fi
if [ -z "$slw_menu" ]; then
  echo 'The image server does not answer.'
  set timeout=5
  menuentry --unrestricted 'Boot the local disk' {
    slw_local_chain
  }
fi
"""


def first_script(server: Server) -> str:
    """Return grub.cfg, which every GRUB loads first."""
    arguments = " ".join(quoted(word) for word in server.boot_args.split())
    functions = _FUNCTIONS.replace("@ARGUMENTS@", arguments).replace("@LOADERS@", " ".join(LOADERS))
    return HEADER + functions + _FIRST


def render(menu: Menu) -> str:
    """Return the entries of a machine's menu, or of the menu of machines that nobody knows."""
    lines = [
        *_colours(menu.colours),
        f"set timeout={menu.timeout or -1}",
        *_entries(menu, menu.visible),
    ]
    if menu.hidden:
        lines += [
            f"submenu --unrestricted --hotkey={screen.HIDDEN_KEY} ' ' {{",
            *(f"  {line}" for line in _entries(menu, menu.items)),
            "}",
        ]
    if menu.machine is None:
        note = quoted(screen.UNKNOWN_NOTE) + '"$net_default_mac"'
        lines += [f"menuentry --unrestricted {note} {{", "  true", "}"]
    return HEADER + "\n".join([*lines, "set slw_menu=1", ""])


def quoted(text: str) -> str:
    """Return printable ASCII as one word that GRUB takes as it is."""
    if not all(" " <= char <= "~" for char in text):
        raise ValueError(f"not printable ASCII: {text!r}")
    return "'" + text.replace("'", "'\\''") + "'"


def _colours(colours: Colours) -> Iterator[str]:
    if colours == Colours():
        return
    for name, text, background in (
        ("normal", colours.text, colours.background),
        ("highlight", colours.selected_text, colours.selected_background),
    ):
        pair = f"{_TEXT.get(text, text)}/{_BACKGROUND.get(background, background)}"
        yield f"set menu_color_{name}={pair}"
        yield f"export menu_color_{name}"


def _entries(menu: Menu, items: Iterable[Item]) -> Iterator[str]:
    """Yield title and banner as entries that do nothing, then the items.

    The default is a number, since a title might say the same as another entry's name.
    """
    shown = tuple(items)
    head = [screen.title(menu), *screen.banner(menu)]
    yield f"set default={len(head) + [item.id for item in shown].index(menu.default)}"
    for line in head:
        yield from _entry(line, ["true"])
    for item in shown:
        yield from _entry(screen.item_text(item), _actions(menu, item))


def _entry(title: str, actions: Iterable[str]) -> Iterator[str]:
    # Quoted or not, what begins with a dash is an option.
    shown = f" {title}" if title.startswith("-") else title
    yield f"menuentry --unrestricted {quoted(shown)} {{"
    for line in actions:
        yield f"  {line}"
    yield "}"


def _actions(menu: Menu, item: Item) -> Iterator[str]:
    """Yield what happens when an item is chosen; when it comes back, the menu is shown again."""
    action = ACTIONS[item.action]
    if action.word:
        yield f"slw_environment {menu.wish(action.words(item.id))}"
        return
    place = Place(item.id, _method(item.method), f"slw_local_{_method(menu.method)}", "", "")
    yield from action.grub(place)
    # A default that fails goes on to the disk; after a choice that fails, the user chooses.
    if item.id == menu.default and action.comes_back:
        yield place.back


def _method(method: str | None) -> str:
    """Return how GRUB boots the disk."""
    return "exit" if method == "exit" else "chain"
