#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: hand the server what the inventory says of images."""

from __future__ import annotations

DOCUMENTATION = r"""
module: policy
short_description: Hand the server what the inventory says of images
description:
  - The service looks at all of it first, and names everything that can't be meant; then nothing is
    written. It reads the file anew when it changed.
  - In check mode and in diff mode it says for each version whether it is kept, and why, and which
    machines are in which schedule, and which media are made, before and after.
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
  policy:
    description: The variables of the role C(policy) without their prefix.
    type: dict
    required: true
  path:
    description: Folder of the policy's files, which must be there.
    type: path
    default: /etc/slipway/policy
  group:
    description: Group that may read them.
    type: str
    default: slipway
"""

EXAMPLES = r"""
- name: Keep a week of days
  slipway.imaging.policy:
    policy:
      keep: {daily: 7}
      images:
        pc12: {hold: ["20260131T235959Z"]}
  become: true
"""

RETURN = r"""
problems:
  description: What can't be meant.
  type: list
  elements: str
  returned: when there is something
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._text_folder import (
    Wanted,
    apply,
    owner_of,
    plan,
)

# Schedules and media have files of their own, for the service reads them in other rooms.
_SCHEDULES = "schedules"
_MEDIA = "media"
_OF_BOTH = "time_zone"


def hand_over(module: AnsibleModule) -> dict[str, Any]:
    """Write the policy, or say what would change."""
    params = module.params
    effect = AdminApi(params["admin_socket"]).policy_effect(params["policy"])
    if effect["problems"]:
        return {
            "failed": True,
            "problems": effect["problems"],
            "msg": " ".join([*effect["problems"], "Nothing was changed."]),
            "error": "bad_policy",
        }
    for warning in effect["warnings"]:
        module.warn(warning)
    try:
        owner = owner_of("root", params["group"], "0640")
    except SlipwayError:
        # Before the first real run, check mode still tells about the files.
        if not module.check_mode:
            raise
        owner = None
    wanted = files_of(params["policy"])
    changes = plan(Path(params["path"]), wanted, owner, None)
    if changes and owner and not module.check_mode:
        apply(Path(params["path"]), changes, owner)
    diff = {
        "before_header": "what becomes of images",
        "after_header": "what becomes of images",
        "before": "".join(f"{line}\n" for line in effect["before"]),
        "after": "".join(f"{line}\n" for line in effect["after"]),
    }
    return {"changed": bool(changes), "diff": [diff, *(change.diff for change in changes)]}


def files_of(policy: Mapping[str, Any]) -> dict[str, Wanted]:
    """Return the files of a policy."""
    images = {key: policy[key] for key in policy if key not in (_SCHEDULES, _MEDIA)}
    found = {"images.json": _file(images, "policy of images")}
    shared = {key: policy[key] for key in (_SCHEDULES, _OF_BOTH) if key in policy}
    found["schedules.json"] = _file(shared, "schedules")
    media = {key: policy[key] for key in (_MEDIA,) if key in policy}
    found["media.json"] = _file(media, "media that are made by themselves")
    return found


def _file(content: Mapping[str, Any], label: str) -> Wanted:
    return Wanted((json.dumps(content, indent=1, sort_keys=True) + "\n").encode(), label)


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "policy": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/slipway/policy"},
            "group": {"type": "str", "default": "slipway"},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        result = hand_over(module)
        if result.get("failed"):
            module.fail_json(**result)
        module.exit_json(**result)
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
