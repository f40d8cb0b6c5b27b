#!/usr/bin/python
"""Module: start the agent's restore; the action plugin of the same name follows it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_restore
short_description: Write an image back to the disks of a machine
description:
  - Lets the agent compare the disks with a version of an image and write what differs.
  - Disks are found by serial number, WWN, model and size, never by their order. All that can be
    refused is refused before the first write.
  - While it writes, the disk is not bootable; partition table and boot sectors come last. An
    interrupted restore is finished by running it again.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.job
attributes:
  check_mode:
    support: full
    details: The disks are compared and nothing is written.
  diff_mode:
    support: full
    details: Names each partition and how much of it differs.
  idempotent:
    support: full
    details: A disk that matches is not written to.
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
  allow_degraded:
    description:
      - Restore a version that lacks sectors which its source could not read; they become zeros.
        Without this such a version is refused before the first write.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write the newest version back
  slipway.imaging.disk_restore:
    image: pc1

- name: Write one version to a disk that replaced the broken one
  slipway.imaging.disk_restore:
    image: pc1@20260131T235959Z
    targets:
      disk0: /dev/disk/by-id/ata-Samsung_SSD_870_S6PTNM0T654321
"""

RETURN = r"""
image:
  description: Name of the image.
  type: str
  returned: success
version:
  description: The version that the disks match now, or were compared with.
  type: str
  returned: success
read:
  description: Bytes read from the disks.
  type: int
  returned: success
written:
  description: Bytes written to the disks; 0 in check mode.
  type: int
  returned: success
degraded:
  description: Whether the version lacks sectors that its source could not read.
  type: bool
  returned: success
unreadable:
  description: How many bytes these are; they are zeros on the disks now.
  type: int
  returned: success
seconds:
  description: How long the agent worked.
  type: float
  returned: success
cells:
  description: How many cells there are, how many were written, how many were the same.
  type: dict
  returned: success
disks:
  description: What was compared and written, disk by disk and partition by partition.
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
    restore_command,
    start_job,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "targets": {"type": "dict", "default": {}},
            "allow_degraded": {"type": "bool", "default": False},
            **JOB_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        command = restore_command(module.params, module.check_mode)
        module.exit_json(changed=False, **start_job(module, command))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
