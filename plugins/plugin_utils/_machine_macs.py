# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MAC addresses of an inventory's machines: what is wrong with them, and who shares one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_macs, is_name


def problems(names: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each machine with a wrong address, and for each address of two."""
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


def _read(
    names: Iterable[str], variables: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the addresses of machines, and what is wrong with the others.

    Hosts that can't be machines by their name are left out: that is said elsewhere.
    """
    said = []
    read = {}
    for name in filter(is_name, names):
        try:
            read[name] = check_macs(variables[name].get("machine_macs") or [])
        except SlipwayError as failure:
            said.append(f"{name}: {failure}")
        except Exception as failure:  # a template of the inventory may raise whatever it likes
            said.append(f"{name}: its machine_macs can't be read: {clean(failure)}")
    return read, said


def shared(macs: Mapping[str, Iterable[str]], selected: Container[str] | None = None) -> list[str]:
    """Return a sentence for each MAC address that two machines have, one of them selected."""
    owner: dict[str, str] = {}
    return [
        f"{other} and {name} both have the MAC address {mac}. "
        "Remedy: Take it out of machine_macs of one of them. A dock or adapter that several share "
        "belongs to none: see README, Docks and adapters."
        for name, cards in macs.items()
        for mac in cards
        if (other := owner.setdefault(mac, name)) != name
        and (selected is None or name in selected or other in selected)
    ]
