# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: the menus of an inventory as files, and one as its user will see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menus
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_preview import preview
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_values import card_names

DOCUMENTATION = r"""
name: boot_menus
short_description: The menus of an inventory, as files of an image server
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Reads C(boot_menu_*) of every machine, with Ansible's precedence already applied, and renders
    the files that machines boot from and the control service reads.
  - All that is wrong is collected in C(problems), each with its remedy, instead of failing at the
    first.
  - Warns of what can be meant and promises more than it holds.
options:
  _input:
    description: Names of machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
  own:
    description: The role's values, without their prefix, for what nobody says.
    type: dict
    required: true
  server:
    description: Name of the image server, whose variables say what no machine says.
    type: str
    required: true
positional: [hostvars, own, server]
"""

EXAMPLES = r"""
- name: Show what is wrong with the menus
  ansible.builtin.debug:
    msg: "{{ (groups['machines'] | slipway.imaging.boot_menus(hostvars, own, 'img')).problems }}"
"""

RETURN = r"""
_value:
  description:
    - C(files) by folder (C(first), C(menu), C(items), C(service)) and name, C(problems), the
      C(images) that are named, and which programs the menus C(needs) on the server.
  type: dict
"""


def boot_menus(
    machines: Iterable[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Any],
    server: str,
) -> dict[str, Any]:
    """Return the files of all menus, and what is wrong with the inventory."""
    menus = _menus.collect(machines, hostvars, own, server)
    images = (image for menu in menus.all for image in menu.images)
    _warn(menus)
    scripts = Server(
        str(hostvars[server]["image_server_address"]),
        str(own["boot_args"]),
        () if menus.problems else card_names(own.get("tftp_cards")),
    )
    return {
        "files": _menus.files(menus, scripts),
        "problems": list(menus.problems),
        "images": sorted(set(images)),
        "needs": _menus.needs(menus),
    }


def menu_preview(
    machine: str | None,
    hostvars: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Any],
    server: str,
) -> dict[str, Any]:
    """Return the menu of a machine, or of unknown ones, as its user will see it."""
    menus = _menus.collect([machine] if machine else [], hostvars, own, server)
    _warn(menus)
    problems = list(menus.problems)
    shown = menus.machines[0].menu if menus.machines else menus.unknown
    if machine and not menus.machines and not problems:
        problems = [f"{machine} has no menu. Remedy: Give it machine_macs."]
    text = "\n".join(preview(shown)) if shown and not problems else ""
    return {"text": text, "problems": problems}


def _warn(menus: _menus.Menus) -> None:
    for warning in _menus.warnings(menus):
        Display().warning(warning)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"boot_menus": boot_menus, "menu_preview": menu_preview}
