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
  - On a smaller disk, partitions that would end behind its end become smaller together with their
    file systems, and what lies behind them moves. That works for ext2, ext3, ext4, NTFS, btrfs and
    swap; what can't fit is refused before the first write, with the bytes that it needs.
  - On a machine that booted by UEFI the image's boot entries are made anew, behind the network in
    the boot order. An entry that can't be written is a warning.
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
    details:
      - A disk that matches is not written to.
      - With O(grow) a file system that has grown differs from the image. It is set back and grown
        again, which is a change. Swap space and disks without room to grow are not changed again.
      - A file system that was made smaller for a smaller disk is recognised, but for btrfs, which
        comes out a little different each time; a warning says so.
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
    description:
      - Only these partitions, named like V(disk0:2). The disk's table must have each at its place
        with its size already. Nothing else on the disk is written.
      - While one is written, it holds no file system; the disk's other systems stay bootable.
    type: list
    elements: str
    default: []
  grow:
    description:
      - Partitions that take the free space behind them on a larger disk, with their file system,
        named like V(disk0:2); V(last) is the last of each disk that people use, so never a recovery
        or boot partition.
      - For ext2, ext3, ext4, XFS, btrfs, NTFS and swap; anything else is refused.
      - A dictionary C({partition: disk0:3, move: true}) also moves what lies behind it, like the
        recovery partition of Windows, to the end of the disk. Without it a partition with another
        one right behind it is refused.
    type: list
    elements: raw
    default: []
  read_back:
    description: Read everything from the disk again and compare, before it may boot.
    type: bool
    default: false
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

- name: Write the system partition back and leave the data partition alone
  slipway.imaging.disk_restore:
    image: pc1
    partitions: [disk0:2]

- name: Use all of a larger disk
  slipway.imaging.disk_restore:
    image: pc1
    grow: [last]
    read_back: true

- name: Let drive C take all of a larger disk, with the recovery partition behind it
  slipway.imaging.disk_restore:
    image: pc1
    grow:
      - partition: disk0:3
        move: true
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
boot_entries:
  description: UEFI boot entries of the image that belong to the restored disks.
  type: list
  elements: dict
  returned: success
  contains:
    label:
      description: Name in the firmware's menu.
      type: str
    loader:
      description: Path of the program that it starts.
      type: str
    state:
      description: V(present), V(created), V(missing) in check mode, or V(failed).
      type: str
    problem:
      description: Why it failed.
      type: str
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
            "only": {"type": "list", "elements": "str", "default": []},
            "partitions": {"type": "list", "elements": "str", "default": []},
            "grow": {"type": "list", "elements": "raw", "default": []},
            "read_back": {"type": "bool", "default": False},
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
