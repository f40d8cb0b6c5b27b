# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of a machine: what its user may choose, whichever boot loader shows it.

``parse`` reads the variables of role boot_menu, without the prefix ``boot_menu_``, into frozen
dataclasses and refuses what can't be meant. Nothing here knows iPXE or GRUB: titles are any text,
and each renderer makes of it what its boot loader can show.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    clip,
    split_reference,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import (
    DEFAULT,
    boot_word,
    check_keyboard,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._password_hash import check_hash

# What each action is called when the item has no title of its own.
TITLES = {
    "local_disk": "Boot the local disk",
    "floppy": "Boot from the floppy disk",
    "cdrom": "Boot from the CD or DVD",
    "backup": "Back up this PC",
    "restore": "Restore this PC",
    "rescue_shell": "Rescue shell",
    "memtest": "Test the memory",
    "register": "Register this machine",
    "ipxe": "Run the administrator's script",
}
ACTIONS = tuple(TITLES)
# These boot the imaging environment with the item's id, and the server is asked.
ENVIRONMENT_ACTIONS = ("backup", "restore", "rescue_shell")
# These may start by themselves when the time is up: none of them touches a disk's content.
TIMED_ACTIONS = ("local_disk", "floppy", "cdrom", "ipxe")
METHODS = ("auto", "exit", "sanboot", "chain")
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

MAX_ITEMS = 60
MAX_TITLE = 200
MAX_BANNER_LINES = 8
MAX_TIMEOUT = 3600
MAX_SCRIPT = 65536
MAX_ORDER = 10**6

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# Which keys mean something beside id, action, title, hidden and order.
_KEYS_OF = {
    "local_disk": {"method"},
    "backup": {"image", "password_hash"},
    "restore": {"image", "images", "password_hash"},
    "rescue_shell": {"password_hash"},
    "ipxe": {"script"},
}


@dataclass(frozen=True)
class Item:
    """One line of a menu.

    ``image`` and ``images`` are references ``NAME`` or ``NAME@VERSION``. A backup always has an
    image; a restore has one of the two. ``method`` is set for local_disk alone, ``script`` for
    ipxe alone.
    """

    id: str
    action: str
    title: str
    image: str | None = None
    images: tuple[str, ...] | None = None
    hidden: bool = False
    password_hash: str | None = None
    order: int = 0
    script: str | None = None
    method: str | None = None

    @property
    def boots_environment(self) -> bool:
        """Tell whether choosing this boots the imaging environment with ``slipway.item``."""
        return self.action in ENVIRONMENT_ACTIONS


@dataclass(frozen=True)
class Colours:
    """What a menu is painted with; both boot loaders know these eight colours by name."""

    text: str = "white"
    background: str = "blue"
    selected_text: str = "white"
    selected_background: str = "red"
    banner: str = "cyan"


@dataclass(frozen=True)
class Menu:
    """All that a machine's menu is made of; items in the order they are shown in.

    ``timeout`` is in seconds, 0 waits for ever. ``banner`` is lines. ``method`` is how the local
    disk boots where no item says it, such as while the server does not answer. ``keyboard`` is
    that of the PC (``machine_keyboard``), and not the menu's own.
    """

    machine: str | None
    title: str
    banner: tuple[str, ...]
    timeout: int
    default: str
    colours: Colours
    items: tuple[Item, ...]
    method: str = "auto"
    keyboard: str = DEFAULT

    @property
    def visible(self) -> tuple[Item, ...]:
        """Return the items that are shown at once."""
        return tuple(item for item in self.items if not item.hidden)

    @property
    def hidden(self) -> tuple[Item, ...]:
        """Return the items that are shown after the documented key alone."""
        return tuple(item for item in self.items if item.hidden)

    def wish(self, word: str) -> str:
        """Return the words by which a boot loader tells the imaging environment what to do."""
        return " ".join(filter(None, (word, boot_word(self.keyboard))))

    @property
    def images(self) -> tuple[str, ...]:
        """Return every image that a restore of this menu names, once."""
        named = (
            reference
            for item in self.items
            if item.action == "restore"
            for reference in (*(item.images or ()), *([item.image] if item.image else ()))
            # The machine's own image may well not be there yet.
            if reference != self.machine
        )
        return tuple(dict.fromkeys(named))


# What the variables boot_menu_* may say.
KEYS = tuple(field.name for field in fields(Menu) if field.name not in ("machine", "keyboard"))


def parse(data: Mapping[str, object], machine: str | None, keyboard: object = DEFAULT) -> Menu:
    """Read a menu; ``machine`` None means the one of machines that nobody knows.

    Raises SlipwayError, which names the machine, the item and the remedy.
    """
    try:
        return replace(_Parser(data, machine).menu(), keyboard=check_keyboard(keyboard))
    except SlipwayError as failure:
        whose = f"The menu of {machine}" if machine else "The menu of unknown machines"
        raise SlipwayError(f"{whose}: {failure.message}", failure.remedy, failure.error) from None


def check_keys(keys: Iterable[object], known: Sequence[str], what: str, prefix: str = "") -> None:
    """Refuse keys that mean nothing, and say which one may have been meant."""
    for key in keys:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"Did you mean {prefix}{near[0]}? " if near else ""
        names = ", ".join(f"{prefix}{name}" for name in known)
        raise SlipwayError(
            f"{what} has no {prefix}{clip(key)[1:-1] if isinstance(key, str) else clip(key)}.",
            f"{hint}There are {names}.",
            "bad_menu",
        )


def plain(value: object) -> str:
    """Return text on one line without anything that acts on a terminal or has no meaning alone.

    Control and format characters (also those that turn the direction of text), surrogates,
    unassigned code points and line separators become blanks; runs of blanks become one.
    """
    if not isinstance(value, str):
        raise SlipwayError(f"{clip(value)} is no text.", "Put it in quotation marks.", "bad_menu")
    kept = "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else " "
        for char in unicodedata.normalize("NFC", value)
    )
    return " ".join(kept.split())


class _Parser:
    """One reading of one machine's data."""

    def __init__(self, data: Mapping[str, object], machine: str | None) -> None:
        self._data = data
        self._machine = machine

    def menu(self) -> Menu:
        check_keys(self._data, KEYS, "A menu", "boot_menu_")
        if self._machine is not None:
            check_name(self._machine, "machine")
        method = _one_of(self._data.get("method") or "auto", METHODS, "boot_menu_method")
        items = self._items(method)
        timeout = _number(self._data.get("timeout", 0), "boot_menu_timeout", MAX_TIMEOUT)
        return Menu(
            machine=self._machine,
            title=_title(self._data.get("title"), "boot_menu_title"),
            banner=_banner(self._data.get("banner")),
            timeout=timeout,
            default=_default(self._data.get("default"), items, timeout, self._timed()),
            colours=_colours(self._data.get("colours")),
            items=items,
            method=method,
        )

    def _timed(self) -> tuple[str, ...]:
        """Return what may start by itself: a machine that nobody knows may ask to be registered."""
        return TIMED_ACTIONS if self._machine is not None else (*TIMED_ACTIONS, "register")

    def _items(self, method: str) -> tuple[Item, ...]:
        listed = _listed(self._data.get("items"), "boot_menu_items")
        if not 0 < len(listed) <= MAX_ITEMS:
            raise SlipwayError(
                f"it has {len(listed)} items.",
                f"Give boot_menu_items 1 to {MAX_ITEMS} items, local_disk among them.",
                "bad_menu",
            )
        items = [self._item(entry, place, method) for place, entry in enumerate(listed, 1)]
        seen: set[str] = set()
        for item in items:
            if item.id in seen:
                raise SlipwayError(
                    f"two items have the id {item.id}.", "Give each item its own id.", "bad_menu"
                )
            seen.add(item.id)
        return tuple(sorted(items, key=lambda item: item.order))

    def _item(self, entry: object, place: int, method: str) -> Item:
        if not isinstance(entry, Mapping):
            raise SlipwayError(
                f"item {place} is {clip(entry)}, not a dictionary.",
                "Write it as {id: local, action: local_disk}.",
                "bad_menu",
            )
        what = f"item {place}"
        check_keys(entry, [field.name for field in fields(Item)], what)
        item_id = entry.get("id")
        if not isinstance(item_id, str) or not _ID.fullmatch(item_id):
            raise SlipwayError(
                f"{what} has the id {clip(item_id)}.",
                "An id has 1 to 32 lower-case letters, digits and '-', and begins with a letter "
                "or digit.",
                "bad_menu",
            )
        what = f"item {item_id}"
        try:
            return self._checked_item(dict(entry), item_id, what, method)
        except SlipwayError as failure:
            message = failure.message if failure.message.startswith(what) else ""
            message = message or f"{what}: {failure.message}"
            raise SlipwayError(message, failure.remedy, failure.error) from None

    def _checked_item(self, entry: dict[str, object], item_id: str, what: str, method: str) -> Item:
        given = {key: value for key, value in entry.items() if value is not None}
        action = _one_of(given.get("action"), ACTIONS, f"the action of {what}")
        allowed = {"id", "action", "title", "hidden", "order"} | _KEYS_OF.get(action, set())
        if excess := sorted(set(given) - allowed):
            raise SlipwayError(
                f"{what} has {', '.join(excess)}, which {action} does not know.",
                _EXCESS_REMEDIES.get(excess[0], "Take it out."),
                "bad_menu",
            )
        if self._machine is None and action in ENVIRONMENT_ACTIONS:
            raise SlipwayError(
                f"{what} is a {action}, and no image belongs to a machine without a name.",
                "Offer register instead; backup, restore and rescue_shell belong to machines of "
                "the inventory.",
                "bad_menu",
            )
        password = given.get("password_hash")
        image, images = self._images(action, given)
        return Item(
            id=item_id,
            action=action,
            title=_title(given.get("title", TITLES[action]), "the title"),
            image=image,
            images=images,
            hidden=_truth(given.get("hidden", False), "hidden"),
            password_hash=None if password is None else check_hash(password),
            order=_number(given.get("order", 0), "order", MAX_ORDER, -MAX_ORDER),
            script=_script(given.get("script")) if action == "ipxe" else None,
            method=(
                _one_of(given.get("method", method), METHODS, "the method")
                if action == "local_disk"
                else None
            ),
        )

    def _images(
        self, action: str, given: Mapping[str, object]
    ) -> tuple[str | None, tuple[str, ...] | None]:
        """Return ``image`` and ``images``, one of them set where the action works on an image."""
        if action == "backup":
            return check_name(given.get("image", self._machine)), None
        if action != "restore":
            return None, None
        if "images" not in given:
            return _reference(given.get("image", self._machine)), None
        listed = tuple(_reference(entry) for entry in _listed(given["images"], "images"))
        if "image" in given or not listed or len(set(listed)) < len(listed):
            raise SlipwayError(
                "image and images don't fit together, or images is empty or names one twice.",
                "Give image: NAME[@VERSION], or images: [NAME, ...] to pick from, or neither for "
                "the machine's own image.",
                "bad_menu",
            )
        return None, listed


_EXCESS_REMEDIES = {
    "password_hash": (
        "A password is checked by the server, so only backup, restore and rescue_shell can have "
        "one. Take it out, or hide the item."
    ),
    "images": "A list to pick from belongs to restore.",
    "image": "An image belongs to backup and restore.",
    "method": "A method belongs to local_disk.",
    "script": "A script belongs to the action ipxe.",
}


def _one_of(value: object, choices: Sequence[str], what: str) -> str:
    if isinstance(value, str) and value in choices:
        return str(value)
    raise SlipwayError(
        f"{what} is {clip(value)}.", f"It is one of {', '.join(choices)}.", "bad_menu"
    )


def _number(value: object, what: str, most: int, least: int = 0) -> int:
    """Return a whole number; text of digits counts, as -e and INI inventories give nothing else."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    raise SlipwayError(
        f"{what} is {clip(value)}.", f"Give a whole number from {least} to {most}.", "bad_menu"
    )


def _truth(value: object, what: str) -> bool:
    if isinstance(value, bool):
        return value
    raise SlipwayError(f"{what} is {clip(value)}.", "Write true or false.", "bad_menu")


def _listed(value: object, what: str) -> list[object]:
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise SlipwayError(f"{what} is {clip(value)}.", "Write a list.", "bad_menu")


def _title(value: object, what: str) -> str:
    title = plain(value)
    if not 0 < len(title) <= MAX_TITLE:
        raise SlipwayError(
            f"{what} has {len(title)} characters.",
            f"Give 1 to {MAX_TITLE} characters that can be seen.",
            "bad_menu",
        )
    return title


def _banner(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str):
        raise SlipwayError(f"boot_menu_banner is {clip(value)}.", "Give text.", "bad_menu")
    lines = tuple(plain(line) for line in value.strip("\n").splitlines())
    if len(lines) > MAX_BANNER_LINES or any(len(line) > MAX_TITLE for line in lines):
        raise SlipwayError(
            f"boot_menu_banner has {len(lines)} lines.",
            f"Give at most {MAX_BANNER_LINES} lines of at most {MAX_TITLE} characters.",
            "bad_menu",
        )
    return lines


def _colours(value: object) -> Colours:
    if value is None:
        return Colours()
    if not isinstance(value, Mapping):
        raise SlipwayError(
            f"boot_menu_colours is {clip(value)}.", "Write {background: black}.", "bad_menu"
        )
    known = [field.name for field in fields(Colours)]
    check_keys(value, known, "boot_menu_colours")
    chosen = {
        str(key): _one_of(colour, COLOURS, f"the colour {key}")
        for key, colour in value.items()
        if colour is not None
    }
    return Colours(**chosen)


def _default(value: object, items: Sequence[Item], timeout: int, timed: Sequence[str]) -> str:
    """Return the id of the default item, which must be seen and must be safe to start alone."""
    visible = [item.id for item in items if not item.hidden]
    remedy = f"Set boot_menu_default to one of the items that are shown: {', '.join(visible)}."
    if not visible:
        raise SlipwayError("every item is hidden.", "Leave one to be seen.", "bad_menu")
    if value is None or value == "":
        raise SlipwayError("it has no default.", remedy, "bad_menu")
    chosen = next((item for item in items if item.id == value), None)
    if chosen is None:
        raise SlipwayError(f"no item has the id of the default, {clip(value)}.", remedy, "bad_menu")
    if chosen.hidden:
        raise SlipwayError(f"the default, {chosen.id}, is hidden.", remedy, "bad_menu")
    if timeout and chosen.action not in timed:
        raise SlipwayError(
            f"the default, {chosen.id}, is a {chosen.action}: it would start by itself after "
            f"{timeout} seconds, at every boot again.",
            "Choose another default, or set boot_menu_timeout to 0, which waits for a key.",
            "bad_menu",
        )
    return chosen.id


def _reference(value: object) -> str:
    name, version = split_reference(value)
    return name if version is None else f"{name}@{version}"


def _script(value: object) -> str:
    """Return the text of an administrator's own iPXE script, with the first line iPXE wants."""
    if not isinstance(value, str) or not value.strip():
        raise SlipwayError("the script is missing.", "Give script: |, then its lines.", "bad_menu")
    text = value if value.endswith("\n") else value + "\n"
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"), "")
    if bad or len(text.encode("utf-8", "replace")) > MAX_SCRIPT:
        raise SlipwayError(
            "the script is no text." if bad else "the script is too long.",
            f"Give at most {MAX_SCRIPT} bytes of text, with line feeds alone.",
            "bad_menu",
        )
    return text if text.startswith("#!ipxe\n") else "#!ipxe\n" + text
