#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: what disks a machine in the imaging environment has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_info
short_description: Show the disks of a machine in the imaging environment
description:
  - Asks the agent (C(slipway probe --json)) for disks, partitions, what they hold and how a backup
    would read them. Everything is opened read-only.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
requirements:
  - Runs on a machine in the imaging environment.
"""

EXAMPLES = r"""
- name: Show the disks
  slipway.imaging.disk_info:
  register: probed
"""

RETURN = r"""
disks:
  description: Disks with identity, size, sector size and partitions, as the agent describes them.
  type: list
  elements: dict
  returned: success
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._agent import probe
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, disks=probe(module))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
