#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: keep a folder of small text files as it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: text_folder
short_description: Keep a folder of small text files as it should be
description:
  - Writes many small files at once, and removes those that nobody wants any more. A loop over
    M(ansible.builtin.copy) would do the same in one second for each file.
  - Each file is replaced at once, so that no reader sees half of one.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Hashes of passwords are shown as a mark that changes when they do.
  idempotent:
    support: full
options:
  path:
    description: The folder, which must be there.
    type: path
    required: true
  files:
    description: The files by name. Each is a dictionary with C(content), and a C(label) that says
      whose it is.
    type: dict
    required: true
  owner:
    description: User whom the files belong to.
    type: str
    default: root
  group:
    description: Group of the files.
    type: str
    default: root
  mode:
    description: Mode of the files, in quotation marks.
    type: str
    default: "0644"
  stale:
    description:
      - A regular expression. Files of the folder that are not in O(files) and whose whole name
        matches are removed. Without it, none is.
    type: str
"""

EXAMPLES = r"""
- name: Keep a folder
  slipway.imaging.text_folder:
    path: /srv/slipway/boot/menu
    files:
      52-54-00-12-34-56.ipxe: {content: "#!ipxe\n", label: pc1}
    stale: "[0-9a-f-]{17}\\.ipxe"
"""

RETURN = r"""
changes:
  description: The files that changed, or would have in check mode.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: 52-54-00-12-34-56.ipxe, label: pc1, what: written}
"""

import re
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._text_folder import (
    Wanted,
    apply,
    owner_of,
    plan,
)


def keep(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make the folder equal, or say what would be done."""
    folder = Path(params["path"])
    wanted = {
        str(name): Wanted(str(file["content"]).encode(), str(file.get("label", "")))
        for name, file in params["files"].items()
    }
    stale = re.compile(params["stale"]) if params["stale"] else None
    try:
        owner = owner_of(params["owner"], params["group"], params["mode"])
    except SlipwayError:
        # Before the first real run, check mode still tells about the files.
        if not check_mode:
            raise
        owner = None
    changes = plan(folder, wanted, owner, stale)
    if changes and owner and not check_mode:
        apply(folder, changes, owner)
    return {
        "changed": bool(changes),
        "changes": [
            {
                "name": change.name,
                "label": change.label,
                "what": "removed" if change.after is None else "written",
            }
            for change in changes
        ],
        "diff": [change.diff for change in changes],
    }


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0644"},
            "stale": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**keep(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
