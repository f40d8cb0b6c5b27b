#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_wait
short_description: Wait for a session, waking the machine meanwhile
description:
  - Waits until the machine of a session has checked in, or until the server has read the session's
    image through, and shows a line about it every few seconds.
  - Can send magic packets again and again while it waits.
  - When the time is over, it says what was sent and how far the machine came.
  - This is an action plugin. It runs M(slipway.imaging.wake) and M(slipway.imaging.session_info) on
    the host of the task, which is the image server, and runs nothing of its own there.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
    details: The task is skipped.
  diff_mode:
    support: none
    details: There is nothing to change.
  idempotent:
    support: full
options:
  id:
    description: Identifier of the session.
    type: str
    required: true
  until:
    description: What to wait for.
    type: str
    choices: [checked_in, image_checked]
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 600
  wake:
    description:
      - Options of M(slipway.imaging.wake), to send magic packets until the machine has checked in.
        None are sent when this is left out.
    type: dict
  interval:
    description: Seconds from one magic packet to the next.
    type: int
    default: 10
  patience:
    description:
      - Seconds after which this call ends well although the session is not there yet, so that a
        playbook can do something meanwhile and call again.
    type: int
  waited:
    description: Seconds of earlier calls for the same wait; they count for O(timeout).
    type: float
    default: 0
  sent:
    description:
      - What M(slipway.imaging.wake) returned on another host, C(packets) being those of all calls.
        It is named when the time is over.
    type: dict
"""

EXAMPLES = r"""
- name: Wake pc1 and wait until it has checked in
  slipway.imaging.session_wait:
    id: "{{ opened.session.id }}"
    until: checked_in
    wake:
      macs: ["52:54:00:77:00:01"]
      source_address: 10.77.0.1
  delegate_to: img
  become: true
  vars:
    ansible_python_interpreter: /opt/slipway/venv/bin/python
"""

RETURN = r"""
warnings:
  description: A sentence about each address that asked for the session and is not the machine's.
  type: list
  elements: str
  returned: when there was one
session:
  description: The session as it is now.
  type: dict
  returned: success
reached:
  description: Whether the session is where it should be. False only with O(patience).
  type: bool
  returned: success
packets:
  description: How many magic packets were sent.
  type: int
  returned: success
seconds:
  description: How long it took, O(waited) included.
  type: float
  returned: success
"""
