#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: let a name stand for an image or a version."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_alias
short_description: Let a name stand for an image or a version
description:
  - An alias is good wherever an image is named to be read, in menus, with
    M(slipway.imaging.boot_once) and for a restore. Backups take the names of images alone.
  - What the inventory says in C(policy_aliases) is changed there.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  alias:
    description: The name.
    type: str
    required: true
  image:
    description:
      - What it stands for, C(NAME@VERSION), or C(NAME) for its newest. Needed for O(state=present).
    type: str
  state:
    description: V(absent) forgets the alias.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let the course room have what was tried
  slipway.imaging.image_alias:
    alias: lab-base
    image: course-office@20260131T235959Z
  delegate_to: img
  become: true
"""

RETURN = r"""
before:
  description: What the alias stood for.
  type: str
  returned: when there was one
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    split_reference,
)


def make(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Set or forget the alias unless it is so already."""
    api = AdminApi(params["admin_socket"])
    alias, wanted = check_name(params["alias"], "alias"), None
    if params["state"] == "present":
        name, version = split_reference(params["image"])
        wanted = name if version is None else f"{name}@{version}"
    before = next((each["image"] for each in api.aliases() if each["alias"] == alias), None)
    changed = before != wanted
    if changed and not check_mode:
        if wanted is None:
            api.drop_alias(alias)
        else:
            api.set_alias(alias, wanted)
    diff = {
        "before_header": alias,
        "after_header": alias,
        "before": f"{before}\n" if before else "",
        "after": f"{wanted}\n" if wanted else "",
    }
    return {"changed": changed, "diff": [diff]} | ({"before": before} if before else {})


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "alias": {"type": "str", "required": True},
            "image": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "present", ("image",))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**make(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
