# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines may choose: ``menus/<machine>.json``, as the role boot_menu writes it.

The files are read anew when one changed, so a new menu needs no restart. A file that can't be used
costs its own machine its items, and nobody else anything.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.format.errors import FormatError
from slipway.format.names import check_mac, check_name, parse_image_ref

from ..base.errors import ServiceError
from ..base.names import ITEM_PATTERN
from ..registrations.registration import Identity, apart, may_be, useful_serial, useful_uuid
from .passwords import PasswordHash

log = logging.getLogger(__name__)

ACTIONS = ("backup", "restore", "rescue_shell")
_ITEM = re.compile(ITEM_PATTERN)
_KEYMAP = re.compile("[A-Za-z0-9_-]{0,40}")
_MAX_FILE = 256 << 10
_MAX_MENUS = 10_000
_MAX_TITLE = 200
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class MenuItem:
    """An item that boots the imaging environment. ``images`` is a list to pick from."""

    id: str
    action: str
    title: str
    image: str | None
    images: tuple[str, ...] | None
    password: PasswordHash | None


@dataclass(frozen=True)
class MachineMenu:
    """What one machine may choose."""

    machine: str
    macs: tuple[str, ...]
    items: tuple[MenuItem, ...]
    # What the inventory fixed; None: nothing.
    address: str | None = None
    # UUID and serial number that the inventory gives it; None: neither.
    pin: Identity | None = None
    # The console's key map; the environment's own when empty.
    keymap: str = ""

    def item(self, item_id: str) -> MenuItem:
        """The item of that id."""
        for each in self.items:
            if each.id == item_id:
                return each
        raise ServiceError("no_such_item", f"The menu of {self.machine} has no such item.")


class MenuFiles:
    """All methods block; callers run them in a thread."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._known: dict[str, tuple[_Stamp, MachineMenu | None]] = {}

    def find(self, macs: Iterable[str], said: Identity) -> MachineMenu:
        """The menu of the machine that has these cards and is, by the inventory, what it says."""
        wanted = set(macs)
        of_cards = self._of_cards(wanted)
        found = [menu for menu in of_cards if may_be(menu.pin, said)]
        if of_cards and not found:
            log.warning("the PC with the cards %s is none of their machines", ", ".join(wanted))
            raise ServiceError(
                "another_machine", "This PC has the card of machines that it is not."
            )
        if not found:
            raise ServiceError("unknown_machine", "No menu on this server is for these cards.")
        if len(found) > 1:
            names = ", ".join(menu.machine for menu in found)
            log.error("the cards %s belong to several machines: %s", ", ".join(wanted), names)
            raise ServiceError("machine_unclear", "These cards belong to several machines.")
        return found[0]

    def address_of(self, macs: Iterable[str]) -> str | None:
        """The address that the inventory fixed for the machine that has these cards."""
        found = self._of_cards(set(macs))
        return found[0].address if len(found) == 1 else None

    def pin(self, machine: str) -> Identity | None:
        """UUID and serial number that the inventory gives a machine."""
        menu = self.of(machine)
        return menu.pin if menu else None

    def of(self, machine: str) -> MachineMenu | None:
        """The menu of a machine by its name."""
        return next((menu for menu in self._menus() if menu.machine == machine), None)

    def all(self) -> list[MachineMenu]:
        """The menus of all machines."""
        return self._menus()

    def sharing(self, machine: str) -> frozenset[str]:
        """The machines that have a card in common with it, and are told from it by the rest."""
        menu = self.of(machine)
        if menu is None or menu.pin is None:
            return frozenset()
        others = self._of_cards(set(menu.macs))
        return frozenset(each.machine for each in others if apart(menu.pin, each.pin))

    def _of_cards(self, wanted: set[str]) -> list[MachineMenu]:
        return [menu for menu in self._menus() if wanted & set(menu.macs)]

    def _menus(self) -> list[MachineMenu]:
        seen: dict[str, tuple[_Stamp, MachineMenu | None]] = {}
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(each.name for each in entries if each.name.endswith(".json"))
        except OSError:
            names = []
        for name in names[:_MAX_MENUS]:
            path = self._folder / name
            try:
                status = path.stat()
            except OSError:
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            before = self._known.get(name)
            seen[name] = before if before and before[0] == stamp else (stamp, _read_or_none(path))
        self._known = seen
        return [menu for _, menu in seen.values() if menu is not None]


def _read_or_none(path: Path) -> MachineMenu | None:
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, FormatError) as error:
        log.error("the menu %s can't be used, run menus.yml: %s", path, error)
        return None


def _read(path: Path) -> MachineMenu:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise ValueError(f"it is larger than {_MAX_FILE} bytes")
    value = json.loads(data)
    machine = check_name(value["machine"], "machine")
    if machine != path.stem:
        raise ValueError(f"it is the menu of {machine}")
    items = tuple(_item(each) for each in value["items"])
    if len({each.id for each in items}) != len(items):
        raise ValueError("two items have the same id")
    keymap = value.get("keymap", "")
    if not _KEYMAP.fullmatch(keymap):
        raise ValueError("its key map has a name that can't be one")
    macs = tuple(check_mac(mac) for mac in value["macs"])
    address = value.get("address")
    if address is not None:
        address = str(ipaddress.ip_address(address))
    return MachineMenu(machine, macs, items, address, _pin(value), keymap)


def _pin(value: dict[str, Any]) -> Identity | None:
    if value.get("uuid") is None and value.get("serial") is None:
        return None
    uuid, serial = (value.get(key) for key in ("uuid", "serial"))
    found = Identity((), useful_uuid(uuid), useful_serial(serial))
    if (uuid is not None, serial is not None) != (found.uuid is not None, found.serial is not None):
        raise ValueError("its UUID or serial number tells no PC from another")
    return found


def _item(value: dict[str, Any]) -> MenuItem:
    if not isinstance(value["id"], str) or not _ITEM.fullmatch(value["id"]):
        raise ValueError("an item has an id that can't be one")
    if value["action"] not in ACTIONS:
        raise ValueError(f"item {value['id']} has an action that this service does not know")
    image, images = value.get("image"), value.get("images")
    if value["action"] == "backup":
        check_name(image)
    elif value["action"] == "restore":
        if (image is None) == (images is None):
            raise ValueError(f"item {value['id']} needs either image or images")
        for each in images or [image]:
            parse_image_ref(each)
    hashed = value.get("password_hash")
    title = value["title"] if isinstance(value["title"], str) else ""
    return MenuItem(
        id=value["id"],
        action=value["action"],
        title="".join(char for char in title if char.isprintable())[:_MAX_TITLE],
        image=image,
        images=None if images is None else tuple(images),
        password=None if hashed is None else PasswordHash.parse(hashed),
    )
