# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines may choose: ``menus/<machine>.json``, as the role boot_menu writes it.

The files are read anew when one changed, so a new menu needs no restart: at once when it was put
there in one step, as the role does it, after a while when it was written over by hand. A file that
can't be used costs its own machine its items, and nobody else anything.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic import TypeAdapter as Kind
from slipway.format.names import check_mac, check_name, parse_image_ref

from ..base import documents
from ..base.errors import ServiceError
from ..base.names import GROUP_PATTERN, ITEM_PATTERN
from ..registrations.registration import Identity, apart, may_be, useful_serial, useful_uuid
from .actions import ACTIONS
from .passwords import PasswordHash

log = logging.getLogger(__name__)

_MAX_FILE = 256 << 10
_MAX_MENUS = 10_000
_MAX_TITLE = 200
# Two changes of a folder within so long may look like one.
_TICK_NS = 10**9
_LOOK_SECONDS = 10.0
_GROUP = re.compile(GROUP_PATTERN)
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
    # Ids of items that the boot loader starts by itself.
    others: tuple[str, ...] = ()
    # Of the inventory.
    groups: tuple[str, ...] = ()

    @property
    def all_items(self) -> list[str]:
        """The ids of all items."""
        return [*(item.id for item in self.items), *self.others]

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
        # When the folder had changed last, until when that is believed, and what was in it.
        self._seen: tuple[int, float, dict[str, MachineMenu]] = (0, 0.0, {})

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
        return self._menus().get(machine)

    def all(self) -> list[MachineMenu]:
        """The menus of all machines, by name."""
        return list(self._menus().values())

    def sharing(self, machine: str) -> frozenset[str]:
        """The machines that have a card in common with it, and are told from it by the rest."""
        menu = self.of(machine)
        if menu is None or menu.pin is None:
            return frozenset()
        others = self._of_cards(set(menu.macs))
        return frozenset(each.machine for each in others if apart(menu.pin, each.pin))

    def _of_cards(self, wanted: set[str]) -> list[MachineMenu]:
        return [menu for menu in self._menus().values() if not wanted.isdisjoint(menu.macs)]

    def _menus(self) -> Mapping[str, MachineMenu]:
        """By machine. Two thousand files are not looked at for each question."""
        changed, until, menus = self._seen
        try:
            now = self._folder.stat().st_mtime_ns
        except OSError:
            now = 0
        if now != changed or time.monotonic() >= until:
            settled = time.time_ns() - now > _TICK_NS
            menus = {menu.machine: menu for menu in self._looked_at()}
            self._seen = (now, time.monotonic() + _LOOK_SECONDS if settled else 0.0, menus)
        return menus

    def _looked_at(self) -> list[MachineMenu]:
        seen: dict[str, tuple[_Stamp, MachineMenu | None]] = {}
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(each.name for each in entries if each.name.endswith(".json"))
        except OSError:
            names = []
        for name in names[:_MAX_MENUS]:
            try:
                # As text: of thousands, objects for their paths would take most of the time.
                status = os.stat(f"{self._folder}/{name}")  # noqa: PTH116
            except OSError:
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            before = self._known.get(name)
            if before is None or before[0] != stamp:
                before = (stamp, _read_or_none(self._folder / name))
            seen[name] = before
        self._known = seen
        return [menu for _, menu in seen.values() if menu is not None]


def _read_or_none(path: Path) -> MachineMenu | None:
    try:
        found = documents.read(_FILE, path, _MAX_FILE)
        if found.machine != path.stem:
            raise documents.DocumentError(f"{path}: it is the menu of {found.machine}")
        return found.menu()
    except documents.DocumentError as error:
        log.error("a menu can't be used, run menus.yml: %s", error)
        return None


# --- the files as they are written


def _action(text: str) -> str:
    if text not in ACTIONS:
        raise ValueError("is none that this service knows")
    return text


def _machine(text: str) -> str:
    return check_name(text, "machine")


def _reference(text: str) -> str:
    return str(parse_image_ref(text))


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _uuid(text: str) -> str:
    return _telling(useful_uuid(text))


def _serial(text: str) -> str:
    return _telling(useful_serial(text))


def _telling(useful: str | None) -> str:
    if useful is None:
        raise ValueError("tells no PC from another")
    return useful


def _title(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text if char.isprintable())[:_MAX_TITLE]


def _groups(names: list[str]) -> list[str]:
    """Those that a user of the page can have: another one costs the machine nothing."""
    return [each for each in names if _GROUP.fullmatch(each)]


_Id = Annotated[str, Field(pattern=f"^{ITEM_PATTERN}$")]


class _Part(BaseModel):
    # Whoever writes more than this service knows is newer.
    model_config = ConfigDict(strict=True, extra="ignore")


class _Item(_Part):
    id: _Id
    action: Annotated[str, AfterValidator(_action)]
    title: Annotated[str, BeforeValidator(_title)]
    image: Annotated[str, AfterValidator(_reference)] | None = None
    images: list[Annotated[str, AfterValidator(_reference)]] | None = None
    password_hash: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        use = ACTIONS[self.action].image
        if use == "writes":
            check_name(self.image)
        elif use == "reads" and (self.image is None) == (self.images is None):
            raise ValueError("needs either image or images")
        if self.password_hash is not None:
            PasswordHash.parse(self.password_hash)
        return self

    def item(self) -> MenuItem:
        """The item as the service has it."""
        return MenuItem(
            id=self.id,
            action=self.action,
            title=self.title,
            image=self.image,
            images=None if self.images is None else tuple(self.images),
            password=None if self.password_hash is None else PasswordHash.parse(self.password_hash),
        )


class _File(_Part):
    machine: Annotated[str, AfterValidator(_machine)]
    macs: list[Annotated[str, AfterValidator(check_mac)]]
    items: list[_Item]
    others: list[_Id] = Field(default_factory=list)
    address: Annotated[str, AfterValidator(_address)] | None = None
    uuid: Annotated[str, AfterValidator(_uuid)] | None = None
    serial: Annotated[str, AfterValidator(_serial)] | None = None
    keymap: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,40}$")] = ""
    groups: Annotated[list[str], AfterValidator(_groups)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if len({item.id for item in self.items}) != len(self.items):
            raise ValueError("two items have the same id")
        return self

    def menu(self) -> MachineMenu:
        """The menu as the service has it."""
        items = tuple(item.item() for item in self.items)
        others = tuple(self.others)
        pin = Identity((), self.uuid, self.serial) if self.uuid or self.serial else None
        return MachineMenu(
            self.machine,
            tuple(self.macs),
            items,
            self.address,
            pin,
            self.keymap,
            others,
            tuple(self.groups),
        )


_FILE = Kind(_File)
