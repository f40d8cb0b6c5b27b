# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu of a machine: what its user may choose, whichever boot loader shows it.

``parse`` reads the variables of role boot_menu, without the prefix ``boot_menu_``, into frozen
dataclasses and refuses what can't be meant. Nothing here knows iPXE or GRUB: titles are any text,
and each renderer makes of it what its boot loader can show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    clip,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import (
    DEFAULT,
    boot_word,
    check_keyboard,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import (
    ACTIONS,
    METHODS,
    Work,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_values import (
    MAX_TITLE,
    check_keys,
    listed,
    number,
    one_of,
    plain,
    reference,
    script,
    title,
    truth,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._password_hash import check_hash

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

MAX_ITEMS = 60
MAX_BANNER_LINES = 8
MAX_TIMEOUT = 3600
MAX_ORDER = 10**6

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


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
        return ACTIONS[self.action].asked

    @property
    def work(self) -> Work:
        """Return what it works on."""
        return Work(self.image, self.images, self.method)


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
            if "images" in ACTIONS[item.action].keys
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


class _Parser:
    """One reading of one machine's data."""

    def __init__(self, data: Mapping[str, object], machine: str | None) -> None:
        self._data = data
        self._machine = machine

    def menu(self) -> Menu:
        check_keys(self._data, KEYS, "A menu", "boot_menu_")
        if self._machine is not None:
            check_name(self._machine, "machine")
        method = _method(self._data.get("method") or "auto", "boot_menu_method")
        items = self._items(method)
        timeout = number(self._data.get("timeout", 0), "boot_menu_timeout", MAX_TIMEOUT)
        return Menu(
            machine=self._machine,
            title=title(self._data.get("title"), "boot_menu_title"),
            banner=_banner(self._data.get("banner")),
            timeout=timeout,
            default=_default(self._data.get("default"), items, timeout, self._timed()),
            colours=_colours(self._data.get("colours")),
            items=items,
            method=method,
        )

    def _timed(self) -> tuple[str, ...]:
        """Return what may start by itself: a machine that nobody knows may ask to be registered."""
        return tuple(
            name
            for name, action in ACTIONS.items()
            if action.timed or (self._machine is None and action.timed_unknown)
        )

    def _items(self, method: str) -> tuple[Item, ...]:
        entries = listed(self._data.get("items"), "boot_menu_items")
        if not 0 < len(entries) <= MAX_ITEMS:
            raise SlipwayError(
                f"it has {len(entries)} items.",
                f"Give boot_menu_items 1 to {MAX_ITEMS} items, local_disk among them.",
                "bad_menu",
            )
        items = [self._item(entry, place, method) for place, entry in enumerate(entries, 1)]
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
        action = one_of(given.get("action"), tuple(ACTIONS), f"the action of {what}")
        allowed = {"id", "action", "title", "hidden", "order"} | ACTIONS[action].keys
        if excess := sorted(set(given) - allowed):
            raise SlipwayError(
                f"{what} has {', '.join(excess)}, which {action} does not know.",
                _excess_remedy(excess[0]),
                "bad_menu",
            )
        if self._machine is None and ACTIONS[action].asked:
            raise SlipwayError(
                f"{what} is a {action}, and no image belongs to a machine without a name.",
                f"Offer register instead; {_either(_ASKED)} belong to machines of the inventory.",
                "bad_menu",
            )
        password = given.get("password_hash")
        image, images = self._images(action, given)
        return Item(
            id=item_id,
            action=action,
            title=title(given.get("title", ACTIONS[action].title), "the title"),
            image=image,
            images=images,
            hidden=truth(given.get("hidden", False), "hidden"),
            password_hash=None if password is None else check_hash(password),
            order=number(given.get("order", 0), "order", MAX_ORDER, -MAX_ORDER),
            script=script(given.get("script")) if "script" in ACTIONS[action].keys else None,
            method=(
                _method(given.get("method", method), "the method")
                if "method" in ACTIONS[action].keys
                else None
            ),
        )

    def _images(
        self, action: str, given: Mapping[str, object]
    ) -> tuple[str | None, tuple[str, ...] | None]:
        """Return ``image`` and ``images``, one of them set where the action works on an image."""
        keys = ACTIONS[action].keys
        if "image" not in keys:
            return None, None
        if "images" not in keys:
            return check_name(given.get("image", self._machine)), None
        if "images" not in given:
            return reference(given.get("image", self._machine)), None
        images = tuple(reference(entry) for entry in listed(given["images"], "images"))
        if "image" in given or not images or len(set(images)) < len(images):
            raise SlipwayError(
                "image and images don't fit together, or images is empty or names one twice.",
                "Give image: NAME[@VERSION], or images: [NAME, ...] to pick from, or neither for "
                "the machine's own image.",
                "bad_menu",
            )
        return None, images


_ASKED = tuple(name for name, action in ACTIONS.items() if action.asked)


def _either(names: Sequence[str], word: str = "and") -> str:
    """Return names as a sentence has them."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def _excess_remedy(key: str) -> str:
    holders = [name for name, action in ACTIONS.items() if key in action.keys]
    if not holders:
        return "Take it out."
    if key == "password_hash":
        return (
            f"A password is checked by the server, so only {_either(holders)} can have one. "
            "Take it out, or hide the item."
        )
    return f"{key} belongs to {_either(holders)}."


def _method(value: object, what: str) -> str:
    if value == "sanboot":
        raise SlipwayError(
            f"{what} is 'sanboot', which was another name of auto.", "Write auto.", "bad_menu"
        )
    return one_of(value, tuple(METHODS), what)


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
        str(key): one_of(colour, COLOURS, f"the colour {key}")
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
