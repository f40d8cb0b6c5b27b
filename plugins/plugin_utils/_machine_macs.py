# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells an inventory's machines apart at their boot: their cards, UUIDs and serial numbers."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_macs, is_name

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What a boot loader's script compares: one plain word.
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
_TELL = (
    "give each a machine_uuid of its own, as /sys/class/dmi/id/product_uuid says it on the PC, or a"
    " machine_serial, one word of letters, digits and any of ._-"
)
_README = "See README, Docks and adapters."


@dataclass(frozen=True)
class Marks:
    """What a machine is known by; nothing where the inventory does not say it."""

    macs: tuple[str, ...]
    uuid: str = ""
    serial: str = ""
    fixed: bool = False
    """Whether it has a fixed address."""
    loader: str = ""

    @property
    def said(self) -> dict[str, str]:
        """Return what the inventory says beside the cards."""
        both = {"uuid": self.uuid, "serial": self.serial}
        return {key: value for key, value in both.items() if value}

    def is_apart(self, other: Marks) -> bool:
        """Tell whether no PC can be both."""
        return any(self.said[key] != other.said[key] for key in self.said.keys() & other.said)


def problems(names: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each machine with a wrong mark, and for each address of two."""
    read, said = _read(names, variables)
    return said + shared(read)


def shared_with(
    selected: Container[str],
    names: Iterable[str],
    variables: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Return a sentence for each address that a selected machine has in common with another."""
    read, _ = _read(names, variables)
    return shared(read, selected)


def shared_cards(names: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the addresses that several machines have: a dock's, or an adapter's."""
    read, _ = _read(names, variables)
    return sorted(mac for mac, owners in by_card(read).items() if len(owners) > 1)


def _read(
    names: Iterable[str], variables: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Marks], list[str]]:
    """Return the marks of machines, and what is wrong with the others.

    Hosts that can't be machines by their name are left out: that is said elsewhere.
    """
    said = []
    read = {}
    for name in filter(is_name, names):
        try:
            read[name] = marks(variables[name])
        except SlipwayError as failure:
            said.append(f"{name}: {failure}")
        except Exception as failure:  # a template of the inventory may raise whatever it likes
            said.append(f"{name}: its machine_macs can't be read: {clean(failure)}")
    return read, said


def marks(variables: Mapping[str, Any]) -> Marks:
    """Return what a machine's variables say; UUIDs and serial numbers that tell nothing are none.

    A registration writes them as the PC said them. They count where a card is shared.
    """
    uuid = str(variables.get("machine_uuid") or "").strip().lower()
    serial = str(variables.get("machine_serial") or "").strip()
    return Marks(
        check_macs(variables.get("machine_macs") or []),
        uuid if _UUID.fullmatch(uuid) and len(set(uuid) - {"-"}) > 2 else "",
        serial if _SERIAL.fullmatch(serial) else "",
        bool(variables.get("machine_ip")),
        str(variables.get("machine_boot_loader") or ""),
    )


def by_card(read: Mapping[str, Marks]) -> dict[str, list[str]]:
    """Return the machines of each card."""
    owners: dict[str, list[str]] = {}
    for name, machine in read.items():
        for mac in machine.macs:
            owners.setdefault(mac, []).append(name)
    return owners


def shared(
    read: Mapping[str, Marks], selected: Container[str] | None = None, loader: str = "ipxe"
) -> list[str]:
    """Return a sentence for each thing that keeps machines from sharing a card.

    With `selected`, only about cards of those. `loader` is that of machines which name none.
    """
    return [
        f"{sentence} {_README}"
        for mac, owners in by_card(read).items()
        if len(owners) > 1 and (selected is None or any(name in selected for name in owners))
        for sentence in _unfit(mac, {name: read[name] for name in owners}, loader)
    ]


def _unfit(mac: str, owners: Mapping[str, Marks], loader: str) -> Iterator[str]:
    first, *others = owners
    for name in others:
        if not owners[first].is_apart(owners[name]):
            yield (
                f"{first} and {name} both have the MAC address {mac}. Remedy: Take it out of"
                f" machine_macs of one of them; if it is a dock's or an adapter's, {_TELL}."
            )
            return
    for number, name in enumerate(others):
        for other in others[number + 1 :]:
            if not owners[name].is_apart(owners[other]):
                yield (
                    f"{name} and {other} both have the MAC address {mac}, and no machine_uuid or"
                    f" machine_serial tells them apart. Remedy: {_TELL.capitalize()}."
                )
    for name, machine in owners.items():
        if machine.fixed:
            yield (
                f"{name} shares the card {mac} with other machines and has a machine_ip: DHCP knows"
                " the card alone. Remedy: Take its machine_ip away."
            )
        if (machine.loader or loader) == "grub":
            yield (
                f"{name} shares the card {mac} with other machines and starts with GRUB, which"
                " reads its menu and its session by the card alone. Remedy: Set"
                " machine_boot_loader: ipxe for it and turn Secure Boot off, or give it a card of"
                " its own."
            )
