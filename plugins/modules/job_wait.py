#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job_wait
short_description: Follow a job to its end
description:
  - Shows what a job does, as the playbooks show what they do themselves, until it has ended. A job
    that did not end well is a failure, in the job's own words.
  - Stopping this stops nothing but the looking.
  - This is an action plugin. It runs M(slipway.imaging.job_info) on the host of the task, which is
    the image server, and runs nothing of its own there.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  id:
    description: Identifier of the job.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Follow the job
  slipway.imaging.job_wait:
    id: "{{ ordered.job.id }}"
  delegate_to: img
  become: true
"""

RETURN = r"""
job:
  description: The job as it ended.
  type: dict
  returned: success
"""
