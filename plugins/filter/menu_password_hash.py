# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the hash of a password, as items of menus hold it."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._password_hash import make

DOCUMENTATION = r"""
name: menu_password_hash
short_description: The hash of a password, as items of menus hold it
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Hashes with scrypt and a fresh salt, so that the same password never gives the same hash.
options:
  _input:
    description: The password, as it is typed at the PC.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the hash of a password from a vault
  ansible.builtin.debug:
    msg: "{{ vault_menu_password | slipway.imaging.menu_password_hash }}"
"""

RETURN = r"""
_value:
  description: "C(scrypt$N$r$p$SALT$HASH), salt and hash in base64."
  type: str
"""


def menu_password_hash(password: str) -> str:
    """Return the hash of a password, with a fresh salt."""
    try:
        return make(str(password))
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """Return the filter by its name."""
        return {"menu_password_hash": menu_password_hash}
