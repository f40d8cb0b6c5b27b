#!/usr/bin/python
"""Module: start the agent's comparison; the action plugin of the same name follows it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_compare
short_description: Compare the disks of a machine with an image
description:
  - Lets the agent compare the disks with a version of an image. Nothing is written.
  - Disks that differ are no failure of this module; look at RV(differs).
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.job
options:
  image:
    description: C(NAME), which is the newest version, or C(NAME@VERSION).
    type: str
    required: true
  targets:
    description:
      - Disks to use whatever their serial numbers say, for images whose own disks are gone. Keys
        are names of the image's disks like V(disk0), values are paths of disks of this machine.
    type: dict
    default: {}
  only:
    description: Only these disks of the image, named like V(disk0), when another one is gone.
    type: list
    elements: str
    default: []
  partitions:
    description: Only these partitions, named like V(disk0:2).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Compare the disks with the newest version
  slipway.imaging.disk_compare:
    image: pc1
  register: compared

- name: Insist that they match
  ansible.builtin.assert:
    that: not compared.differs
"""

RETURN = r"""
differs:
  description: Whether anything differs.
  type: bool
  returned: success
image:
  description: Name of the image.
  type: str
  returned: success
version:
  description: The version that the disks were compared with.
  type: str
  returned: success
read:
  description: Bytes read from the disks.
  type: int
  returned: success
seconds:
  description: How long the agent worked.
  type: float
  returned: success
disks:
  description: What differs, disk by disk and partition by partition.
  type: list
  elements: dict
  returned: success
agent_warnings:
  description: What the agent warned of.
  type: list
  elements: str
  returned: success, unless the agent was only asked to look at the disks
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._agent import (
    JOB_ARGUMENTS,
    compare_command,
    start_job,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "targets": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str", "default": []},
            "partitions": {"type": "list", "elements": "str", "default": []},
            **JOB_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        command = compare_command(module.params)
        module.exit_json(changed=False, **start_job(module, command))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
