#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: take versions back from the trash, or empty it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_trash
short_description: Take deleted versions back, or remove them for good
description:
  - Deleted versions lie in the trash for C(policy_trash_days) days.
  - What is removed for good frees its room with the next collection.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description: V(restored) takes back, V(emptied) removes for good.
    type: str
    choices: [restored, emptied]
    required: true
  image:
    description:
      - C(NAME) or C(NAME@VERSION). Needed for O(state=restored); without it V(emptied) removes all.
    type: str
"""

EXAMPLES = r"""
- name: Take back what was deleted by mistake
  slipway.imaging.image_trash:
    state: restored
    image: pc12@20260131T235959Z
  delegate_to: img
  become: true
"""

RETURN = r"""
versions:
  description: Those that were taken back or removed, or would be.
  type: list
  elements: str
  returned: success
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import split_reference


def make(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take back or empty what is there of it."""
    api = AdminApi(params["admin_socket"])
    name, version = split_reference(params["image"]) if params["image"] else (None, None)
    found = [
        f"{each['name']}@{each['version']}"
        for each in api.trash()
        if name in (None, each["name"]) and version in (None, each["version"])
    ]
    result = {"changed": bool(found), "versions": found}
    if params["state"] == "emptied":
        if found and not check_mode:
            api.empty_trash(name, version)
        return result
    if not found and not _is_there(api, str(name), version):
        raise SlipwayError(
            f"There is no {params['image']} in the trash.",
            "List what is there with playbooks/trash.yml. Nothing was changed.",
            "not_in_trash",
        )
    if found and not check_mode:
        api.undelete(str(name), version)
    return result


def _is_there(api: AdminApi, name: str, version: str | None) -> bool:
    """Tell whether it was taken back before."""
    try:
        versions = api.image(name)["versions"]
    except SlipwayError:
        return False
    return any(version in (None, each["version"]) for each in versions)


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["restored", "emptied"], "required": True},
            "image": {"type": "str"},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "restored", ("image",))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**make(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
