#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: keep an image or a version as it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Delete, note, hold, rename or copy an image or a version
description:
  - Deleted versions lie in a trash for some days; M(slipway.imaging.image_trash) takes them back.
  - What a menu, an order for the next boot, a job, a session, an alias or a hold names is neither
    deleted nor renamed; the error says who names it.
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
  image:
    description:
      - C(NAME) or C(NAME@VERSION). A name alone is all of the image for O(state=absent),
        O(rename) and O(note), and its newest version for O(hold) and O(copy).
    type: str
    required: true
  state:
    description: V(absent) moves it to the trash.
    type: str
    choices: [present, absent]
    default: present
  note:
    description: What lists say of it; empty removes the note.
    type: str
  hold:
    description: Whether the version is held, so that neither rules nor people remove it.
    type: bool
  reason:
    description: Why it is held or deleted.
    type: str
    default: ""
  rename:
    description: The name that it gets; the old one goes to the trash.
    type: str
  copy:
    description: The name of an image to make with the version.
    type: str
"""

EXAMPLES = r"""
- name: Keep the version that the exams were written with
  slipway.imaging.image:
    image: pc12@20260131T235959Z
    hold: true
    reason: exams of January
  delegate_to: img
  become: true

- name: Delete an image
  slipway.imaging.image:
    image: pc12
    state: absent
    reason: scrapped
  delegate_to: img
  become: true
"""

RETURN = r"""
versions:
  description: The versions that were deleted, renamed or copied, or would be.
  type: list
  elements: str
  returned: when there are any
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._image_state import ImageState


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "note": {"type": "str"},
            "hold": {"type": "bool"},
            "reason": {"type": "str", "default": ""},
            "rename": {"type": "str"},
            "copy": {"type": "str"},
            **ADMIN_ARGUMENTS,
        },
        mutually_exclusive=[("rename", "copy")],
        supports_check_mode=True,
    )
    try:
        state = ImageState(AdminApi(module.params["admin_socket"]), module.params)
        module.exit_json(**state.make(module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
