# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus as iPXE scripts, for the iPXE of Debian 12 (2019) and later.

iPXE cuts a line into words at white space, ends a command at the words ``||``, ``&&`` and ``;``
and at a word that begins with ``#``, and only then expands ``${name}`` in each word, again and
again until none is left. So text is safe when it

- holds no brace: without ``{`` nothing is ever expanded, whatever is put together;
- has ``${}``, which is empty, before each word that would end the command, and behind a final
  backslash, which would join the next line;
- stands behind ``--``, so that no word is an option.

All other text of a script comes from this file, from names and ids, which have lower-case
letters, digits and dashes, and from settings of the image server that its role has checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen as screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import (
    COLOURS,
    Colours,
    Item,
    Menu,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS, Place

# Labels begin with "slw-", "local-", "item-" and "uefi-"; no id of an item has a dot.
_MORE = ".more"
_ACTS_ON_COMMANDS = ("#", "|", "&", ";")
_COLOUR_PAIRS = {"normal": 1, "selected": 2, "banner": 3}
# BIOS drive number of the first hard disk.
_DISK = "0x80"

# What the PC's firmware says of it: a card may be that of a dock.
_SAID = "?uuid=${uuid}&serial=${serial:uristring}"

HEADER = """\
#!ipxe
# Made by Ansible from boot_menu_* of the inventory: what is changed here is lost.
"""


@dataclass(frozen=True)
class Server:
    """What scripts must know of the image server."""

    address: str
    boot_args: str
    # iPXE's names of the cards that load large files over TFTP: boot_menu_tftp_cards.
    tftp_cards: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Return where its files lie."""
        return f"http://{self._host}"

    @property
    def tftp(self) -> str:
        """Return where `env` and `items` lie, too."""
        return f"tftp://{self._host}"

    @property
    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address


def script_name(menu: Menu, item: Item) -> str:
    """Return the file name of an administrator's own script; no machine's name has a dot or '_'."""
    return f"{menu.machine or '_unknown'}.{item.id}.ipxe"


def menu_name(machine: str | None) -> str:
    """Return the file name of the menu of a machine that shares a card; no item's id begins so."""
    return f"{machine or '_unknown'}.-menu.ipxe"


def telling_apart(machines: Mapping[str, Mapping[str, str]], server: Server) -> str:
    """Return the script of a card that several machines share, a dock's or an adapter's.

    The firmware says whose menu it is; for a PC that is none of them, it is that of unknown ones.
    """
    return HEADER + _lines(
        "# This card is several machines': UUID and serial number tell which of them it is.",
        *(
            f"{' && '.join(f'iseq ${{{key}}} {value}' for key, value in said.items())}"
            f" && chain --replace {server.url}/items/{menu_name(name)} ||"
            for name, said in machines.items()
        ),
        f"chain --replace {server.url}/items/{menu_name(None)}",
    )


def first_script(server: Server) -> str:
    """Return what every machine loads first: it asks for the script of the card it booted from."""
    return HEADER + _lines(
        "# netX is the card that it booted from: its script is a session's, if one is pending,",
        "# else its menu.",
        "clear slwcard",
        "# Where large files come from: some cards lose packets that come in a burst.",
        f"set slwfiles {server.url}",
        *(
            f"iseq ${{netX/chip}} {chip} && set slwfiles {server.tftp} ||"
            for chip in server.tftp_cards
        ),
        "set slwtries:int32 0",
        ":again",
        f"chain --replace {server.url}/boot/${{netX/mac:hexhyp}}.ipxe{_SAID} ||",
        "inc slwtries",
        "iseq ${slwtries} 5 && goto local ||",
        "echo The image server has no answer yet, trying again.",
        "sleep 3",
        "goto again",
        "",
        ":local",
        "echo The image server does not answer.",
        *_local_disk("auto", server),
        *_no_disk(server),
    )


def render(menu: Menu, server: Server) -> str:
    """Return the script of a machine's menu, or of the menu of machines that nobody knows."""
    return HEADER + _lines(
        *(() if menu.machine else _other_cards(server)),
        f"isset ${{slwfiles}} || set slwfiles {server.url}",
        *_colours(menu),
        # An administrator has said what this boot does (boot_once): the service sets slwonce.
        "isset ${slwonce} || goto slw-menu",
        "set slwchoice ${slwonce}",
        "clear slwonce",
        "goto item-${slwchoice} || goto slw-menu",
        "",
        ":slw-menu",
        *_shown(menu, menu.visible),
        *(("item --gap", f"item --key {screen.HIDDEN_KEY} -- {_MORE}") if menu.hidden else ()),
        f"choose --default {menu.default}{_timeout(menu)} slwchoice || goto local-{menu.method}",
        "goto item-${slwchoice}",
        *(_all_items(menu) if menu.hidden else ()),
        *(line for item in menu.items for line in _item(menu, item, server)),
        *_environment(server),
        *_failed(server),
        *_methods(menu, server),
        *_no_disk(server),
    )


def words(text: str) -> str:
    """Return text as words that iPXE shows as they are and never acts on."""
    parts = text.translate(screen.BRACES).split()
    safe = " ".join("${}" + part if part.startswith(_ACTS_ON_COMMANDS) else part for part in parts)
    return safe + "${}" if safe.endswith("\\") else safe


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _other_cards(server: Server) -> Iterator[str]:
    yield "# Nobody knows the card that this machine booted from, but perhaps another one of its"
    yield "# cards: ask for the scripts of all of them. An answer may be this script again, so the"
    yield "# count goes on where it was."
    yield "isset ${slwcard} || set slwcard:int32 0"
    yield ":slw-card"
    yield "iseq ${slwcard} 8 && goto slw-unknown ||"
    yield "set slwmac ${net${slwcard}/mac:hexhyp}"
    yield "inc slwcard"
    yield "isset ${slwmac} || goto slw-unknown"
    yield "iseq ${slwmac} ${netX/mac:hexhyp} && goto slw-card ||"
    yield f"chain --replace {server.url}/boot/${{slwmac}}.ipxe{_SAID} || goto slw-card"
    yield ":slw-unknown"


def _colours(menu: Menu) -> Iterator[str]:
    """Yield the colours; the iPXE of Debian 12 was built without them, and goes on."""
    colours = menu.colours
    if colours == Colours():
        return
    for pair, text, background in (
        ("normal", colours.text, colours.background),
        ("selected", colours.selected_text, colours.selected_background),
        ("banner", colours.banner, colours.background),
    ):
        numbers = f"--foreground {COLOURS.index(text)} --background {COLOURS.index(background)}"
        yield f"cpair {numbers} {_COLOUR_PAIRS[pair]} ||"


def _shown(menu: Menu, items: Iterable[Item]) -> Iterator[str]:
    yield f"menu -- {words(screen.title(menu))}"
    banner = screen.banner(menu)
    for line in banner:
        yield f"item --gap -- {words(line)}".rstrip()
    if banner:
        yield "item --gap"
    for item in items:
        yield f"item -- {item.id} {words(screen.item_text(item))}"
    if menu.machine is None:
        yield "item --gap"
        yield f"item --gap -- {screen.UNKNOWN_NOTE}${{netX/mac}}"


def _timeout(menu: Menu) -> str:
    return f" --timeout {menu.timeout * 1000}" if menu.timeout else ""


def _all_items(menu: Menu) -> Iterator[str]:
    yield ""
    yield f":item-{_MORE}"
    yield from _shown(menu, menu.items)
    yield f"choose --default {menu.default} slwchoice || goto slw-menu"
    yield "goto item-${slwchoice}"


def _item(menu: Menu, item: Item, server: Server) -> Iterator[str]:
    """Yield what happens when an item is chosen."""
    yield ""
    yield f":item-{item.id}"
    # A default that fails goes on to the disk; after a choice that fails, the user chooses again.
    back = f"local-{menu.method}" if item.id == menu.default else "slw-menu"
    action = ACTIONS[item.action]
    if action.word:
        yield f"set slwwish {menu.wish(action.words(item.id))}"
        yield "goto slw-environment"
        return
    method = item.method or menu.method
    yield from action.ipxe(Place(item.id, method, back, server.url, script_name(menu, item)))


def _environment(server: Server) -> Iterator[str]:
    yield ""
    yield ":slw-environment"
    yield "imgfree ||"
    # The role's template, by which a session boots, too.
    yield f"chain {server.url}/environment.ipxe || goto slw-failed"


def _failed(server: Server) -> Iterator[str]:
    yield ""
    yield ":slw-failed"
    yield "imgfree ||"
    yield "echo"
    yield "echo This choice could not be started. Nothing was changed."
    yield "echo If it goes on, tell your administrator what stands above."
    yield from _ask_again(server)


def _ask_again(server: Server) -> Iterator[str]:
    yield "echo Press a key, or wait 30 seconds, to ask the image server again."
    yield "prompt --timeout 30000 ||"
    yield f"chain --replace {server.url}/boot.ipxe || reboot"


def _methods(menu: Menu, server: Server) -> Iterator[str]:
    used = {menu.method, *(item.method for item in menu.items if item.method)}
    for method in sorted(used):
        yield ""
        yield f":local-{method}"
        yield from _local_disk(method, server)


def _local_disk(method: str, server: Server) -> Iterator[str]:
    """Yield how the local disk boots; on UEFI, iPXE can't read one.

    UEFI is left with an error, so that the firmware goes on to its next boot entry instead of its
    own menu.
    """
    yield "echo Booting the local disk."
    if method == "chain":
        yield f"iseq ${{platform}} efi && chain {server.url}/items/disk.efi ||"
        yield "iseq ${platform} efi && goto slw-nodisk ||"
    else:
        yield "iseq ${platform} efi && exit 1 ||"
    if method == "exit":
        yield "exit 0"
    else:
        yield f"sanboot --no-describe --drive {_DISK} || goto slw-nodisk"


def _no_disk(server: Server) -> Iterator[str]:
    yield ""
    yield ":slw-nodisk"
    yield "echo"
    yield "echo There is no system on the local disk that could be booted."
    yield "echo If it was just being restored: run the restore again, it goes on where it ended."
    yield from _ask_again(server)
