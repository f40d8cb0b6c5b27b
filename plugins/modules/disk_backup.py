#!/usr/bin/python
"""Module: start the agent's backup; the action plugin of the same name follows it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_backup
short_description: Save the disks of a machine as a new version of an image
description:
  - Lets the agent read the used parts of the disks and send what the store lacks. The disks are
    opened read-only.
  - A version appears when it is complete, or not at all.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.job
attributes:
  check_mode:
    support: full
    details: The disks are looked at, and RV(disks) says what would be read.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every backup makes a new version. What the store has already is not sent again.
options:
  image:
    description: Name of the image.
    type: str
    required: true
  level:
    description: Level of zstd.
    type: int
    default: 3
  whole:
    description:
      - Partitions to be saved with all their sectors, though their file system could say which
        are used. They are named like V(disk0:2), and V(disk0:disk) is the disk itself.
    type: list
    elements: str
    default: []
  unclean:
    description:
      - What becomes of a partition that its own system did not let go of, because it was not shut
        down cleanly or hibernates. V(refuse) fails and says which it is; V(whole) saves it so that
        its own system can put it in order after a restore, which mostly means all of its sectors.
    type: str
    choices: [refuse, whole]
    default: refuse
  keep_gaps:
    description:
      - Save what lies in no partition in full. Else of more than 16 MiB in one piece only the first
        and the last are saved, and RV(agent_warnings) says where what is left out is not zero.
    type: bool
    default: false
  luks_keys:
    description:
      - Passphrases of encrypted partitions, by names like V(disk0:3). With one, only what is in
        use inside is saved, still encrypted; without one, the whole partition.
      - They reach the agent by files in the machine's memory that only root can read and that are
        gone with the job. None is stored, logged, or shown to other processes.
    type: dict
    default: {}
  max_unreadable:
    description:
      - Bytes that the disks may fail to give. When they lack more, no version is published; V(0)
        accepts no loss at all. By default the agent decides, which is 64 MiB.
    type: int
  rescue_minutes:
    description:
      - How long reads that fail may take altogether. By default the agent decides, for an hour.
    type: int
"""

EXAMPLES = r"""
- name: Save all fixed disks
  slipway.imaging.disk_backup:
    image: pc1

- name: Save what is in use of an encrypted partition, too
  slipway.imaging.disk_backup:
    image: pc1
    luks_keys:
      disk0:3: "{{ vault_pc1_passphrase }}"
"""

RETURN = r"""
image:
  description: Name of the image.
  type: str
  returned: success
version:
  description: The version that was published.
  type: str
  returned: success, not in check mode
read:
  description: Bytes read from the disks.
  type: int
  returned: success, not in check mode
sent:
  description: Bytes sent to the store.
  type: int
  returned: success, not in check mode
degraded:
  description:
    - Whether the version lacks sectors that could not be read. There is a warning then, and
      RV(disks) says which partitions lack how many bytes.
  type: bool
  returned: success, not in check mode
unreadable:
  description: Bytes that could not be read and are zeros in the version.
  type: int
  returned: success, not in check mode
seconds:
  description: How long the agent worked.
  type: float
  returned: success, not in check mode
cells:
  description: How many cells there are, and how many were sent.
  type: dict
  returned: success, not in check mode
disks:
  description: What was saved, disk by disk; in check mode what the agent's probe found.
  type: list
  elements: dict
  returned: success
agent_warnings:
  description: What the agent warned of, in check mode from its look at the disks.
  type: list
  elements: str
  returned: success
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._agent import (
    JOB_ARGUMENTS,
    backup_command,
    how,
    luks_keys,
    probe,
    refuse_refused,
    start_job,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import (
    SlipwayError,
    clean,
    fail,
)


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "level": {"type": "int", "default": 3},
            "whole": {"type": "list", "elements": "str", "default": []},
            "unclean": {"type": "str", "choices": ["refuse", "whole"], "default": "refuse"},
            "keep_gaps": {"type": "bool", "default": False},
            "luks_keys": {"type": "dict", "default": {}, "no_log": True},
            "max_unreadable": {"type": "int"},
            "rescue_minutes": {"type": "int"},
            **JOB_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        command, keys = backup_command(module.params), luks_keys(module.params)
        if module.check_mode:
            disks = probe(module, how(module.params))
            refuse_refused(disks)
            warnings = [clean(each) for disk in disks for each in disk.get("warnings", [])]
            for warning in warnings:
                module.warn(warning)
            module.exit_json(
                changed=True, image=module.params["image"], disks=disks, agent_warnings=warnings
            )
        module.exit_json(changed=True, **start_job(module, command, keys))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
