# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The menus of all machines of an inventory, as the files that an image server holds.

Every value is read once, from the variables of the machine, where Ansible's precedence has done
its work; what a machine does not say comes from the image server's own variables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    clip,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_grub as grub
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import DEFAULT, LAYOUTS
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_macs import (
    Marks,
    by_card,
    marks,
    shared,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import (
    KEYS,
    Menu,
    parse,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import (
    Server,
    first_script,
    menu_name,
    render,
    script_name,
    telling_apart,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_values import (
    card_names,
    check_keys,
)

PREFIX = "boot_menu_"
_SHOWN = 5
# The image server alone knows these: they are about machines that nobody knows, and about itself.
SERVER_KEYS = ("unknown_items", "unknown_default", "boot_args", "tftp_cards")


@dataclass(frozen=True)
class MachineMenu:
    """A machine of the inventory with its cards and its menu."""

    name: str
    macs: tuple[str, ...]
    menu: Menu
    # The fixed one, or nothing.
    address: str = ""
    # What the inventory knows it by.
    marks: Marks = field(default_factory=lambda: Marks(()))
    # Of the inventory, but for that of all machines.
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Menus:
    """All menus of an image server, and what is wrong with the inventory."""

    machines: tuple[MachineMenu, ...]
    unknown: Menu | None
    problems: tuple[str, ...]
    # What machines start with that name no boot loader, by firmware.
    loaders: Mapping[str, str] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Menu, ...]:
        """Return every menu, that of unknown machines last."""
        menus = tuple(machine.menu for machine in self.machines)
        return (*menus, self.unknown) if self.unknown else menus


def collect(
    machines: Iterable[str],
    variables: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Any],
    server: str,
) -> Menus:
    """Read the menus of machines that have MAC addresses.

    What a machine does not say comes from the variables of the image server with this name, and
    what that does not say, from ``own``, the role's values.
    """
    problems: list[str] = []
    read: list[MachineMenu] = []

    def attempt(what: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except SlipwayError as failure:
            problems.append(str(failure))
        except Exception as failure:  # a template of the inventory may raise whatever it likes
            problems.append(f"{what}: its variables can't be read: {clean(failure)}")
        return None

    own = {**own, **(attempt(server, lambda: _given(variables[server])) or {})}
    for name in machines:
        found = attempt(name, partial(_machine, name, variables, own))
        if found is not None:
            read.append(found)
    unknown = attempt(
        "The menu of unknown machines",
        lambda: parse(_unknown(own), None, _keyboard(variables[server])),
    )
    attempt("boot_menu_tftp_cards", lambda: card_names(own.get("tftp_cards")))
    loaders = {
        firmware: str(variables[server].get(f"pxe_server_{firmware}_loader") or "ipxe")
        for firmware in ("bios", "uefi")
    }
    # The inventory does not know a machine's firmware.
    any_loader = "grub" if "grub" in loaders.values() else "ipxe"
    problems += shared({machine.name: machine.marks for machine in read}, loader=any_loader)
    return Menus(tuple(read), unknown, tuple(problems), loaders)


def files(menus: Menus, server: Server) -> dict[str, dict[str, dict[str, str]]]:
    """Return every file by folder: what it holds, and whose it is.

    ``menu`` holds a script for each card, ``items`` the administrator's own scripts, ``service``
    what the control service reads, and ``first`` the script that every machine loads first.
    ``grub_menu`` and ``grub_first`` are the same for machines that start with GRUB.
    """
    found: dict[str, dict[str, dict[str, str]]] = {
        "first": {"boot.ipxe": _file(first_script(server), "every machine")},
        "menu": {},
        "items": {},
        "service": {},
        "grub_first": {"grub.cfg": _file(grub.first_script(server), "every machine with GRUB")},
        "grub_menu": {},
    }
    owners = by_card({machine.name: machine.marks for machine in menus.machines})
    several = {mac: names for mac, names in owners.items() if len(names) > 1}
    for machine in menus.machines:
        _of_machine(found, machine, frozenset(several), server)
    if menus.unknown:
        found["menu"]["unknown.ipxe"] = _file(render(menus.unknown, server), "unknown machines")
        if several:
            found["items"][menu_name(None)] = found["menu"]["unknown.ipxe"]
        found["grub_menu"]["unknown.cfg"] = _file(grub.render(menus.unknown), "unknown machines")
    said = {machine.name: machine.marks.said for machine in menus.machines}
    for mac, names in several.items():
        script = telling_apart({name: said[name] for name in names}, server)
        found["menu"][f"{mac.replace(':', '-')}.ipxe"] = _file(script, ", ".join(names))
    for menu in menus.all:
        for item in menu.items:
            if item.script is not None:
                whose = menu.machine or "unknown machines"
                found["items"][script_name(menu, item)] = _file(item.script, whose)
    return found


def _of_machine(
    found: dict[str, dict[str, dict[str, str]]],
    machine: MachineMenu,
    several: frozenset[str],
    server: Server,
) -> None:
    """Add a machine's files. ``several``: cards that it has in common with others."""
    script, entries = render(machine.menu, server), grub.render(machine.menu)
    own = [mac for mac in machine.macs if mac not in several]
    for mac in own:
        found["menu"][f"{mac.replace(':', '-')}.ipxe"] = _file(script, machine.name)
        found["grub_menu"][f"{mac}.cfg"] = _file(entries, machine.name)
    shares = len(own) < len(machine.macs)
    if shares:
        found["items"][menu_name(machine.name)] = _file(script, machine.name)
    found["service"][f"{machine.name}.json"] = _file(service_text(machine, shares), machine.name)


def needs(menus: Menus) -> dict[str, bool]:
    """Return which programs the menus need on the image server."""
    items = [item for menu in menus.all for item in menu.items]
    methods = {menu.method for menu in menus.all} | {item.method for item in items}
    wanted = {
        name: any(name in ACTIONS[item.action].programs for item in items)
        for action in ACTIONS.values()
        for name in action.programs
    } | {"disk": "chain" in methods}
    return {**wanted, "grub": wanted["cdrom"] or wanted["disk"]}


def warnings(menus: Menus) -> list[str]:
    """Return sentences about what a menu promises and can't hold."""
    every = "grub" if {*menus.loaders.values()} == {"grub"} else "ipxe"
    open_doors = [
        machine.name
        for machine in menus.machines
        if (machine.marks.loader or every) != "grub"
        and any(item.action == "rescue_shell" and item.password_hash for item in machine.menu.items)
    ]
    if not open_doors:
        return []
    shown = ", ".join(open_doors[:_SHOWN]) + (", ..." if len(open_doors) > _SHOWN else "")
    return [
        f"The password of the rescue_shell in the menu of {shown} keeps nobody out who sits at the"
        " PC: iPXE has a command line of its own, Ctrl-B, which boots the same without it. GRUB has"
        " one that nobody can open: machine_boot_loader: grub, or pxe_server_bios_loader and"
        " pxe_server_uefi_loader: grub for all. The README of the role boot_menu says more."
    ]


def service_text(machine: MachineMenu, shares: bool = False) -> str:
    """Return what the control service must know to start a machine's items, as JSON.

    With `shares`, one of its cards is others', too: then its firmware must say which it is.
    """
    items = [
        {
            "id": item.id,
            "action": item.action,
            "title": item.title,
            "image": item.image,
            "images": None if item.images is None else list(item.images),
            "password_hash": item.password_hash,
        }
        for item in machine.menu.items
        if item.boots_environment
    ]
    # Those that a boot loader starts by itself: boot_once may name them, too.
    others = [item.id for item in machine.menu.items if not item.boots_environment]
    document: dict[str, Any] = {
        "machine": machine.name,
        "macs": list(machine.macs),
        "items": items,
        "others": others,
    }
    if shares:
        document |= machine.marks.said
    if machine.address:
        document["address"] = machine.address
    if machine.menu.keyboard != DEFAULT:
        document["keymap"] = LAYOUTS[machine.menu.keyboard].keymap
    if machine.groups:
        document["groups"] = list(machine.groups)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _file(content: str, whose: str) -> dict[str, str]:
    return {"content": content, "label": whose}


def _given(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host says of its menu; a mistyped name is refused."""
    given = {
        key.removeprefix(PREFIX): variables[key] for key in variables if key.startswith(PREFIX)
    }
    check_keys(given, (*KEYS, *SERVER_KEYS), "Role boot_menu", PREFIX)
    return given


def _machine(
    name: str, variables: Mapping[str, Mapping[str, Any]], own: Mapping[str, Any]
) -> MachineMenu | None:
    if problem := variables[name].get("machine_problem"):
        # Its file is broken: without this, the machine would silently lose the menu it has.
        raise SlipwayError(
            f"{name}: {problem}", "Correct the file, or remove it to remove the machine."
        )
    macs = variables[name].get("machine_macs")
    if not macs:
        return None
    try:
        check_name(name, "machine")
        known = marks(variables[name])
        address = _fixed_address(variables[name])
        data = {**own, **_given(variables[name])}
    except SlipwayError as failure:
        raise SlipwayError(f"{name}: {failure.message}", failure.remedy, failure.error) from None
    said = {key: data[key] for key in KEYS if key in data}
    menu = parse(said, name, _keyboard(variables[name]))
    groups = sorted({*map(str, variables[name].get("group_names") or ())} - {"machines"})
    return MachineMenu(name, known.macs, menu, address, known, tuple(groups))


def _fixed_address(variables: Mapping[str, Any]) -> str:
    found = variables.get("machine_ip") or ""
    try:
        return str(ip_address(str(found))) if found else ""
    except ValueError:
        raise SlipwayError(
            f"machine_ip {clip(found)} is no address.", "Write it such as 192.168.1.20."
        ) from None


def _keyboard(variables: Mapping[str, Any]) -> object:
    said = variables.get("machine_keyboard")
    # YAML's `no` is false, and not Norway.
    return DEFAULT if said in (None, "") else said


def _unknown(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the menu of unknown machines: the server's own, with items of their own."""
    data = {key: own[key] for key in KEYS if key in own}
    return data | {"items": own.get("unknown_items"), "default": own.get("unknown_default")}
