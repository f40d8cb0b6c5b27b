#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_connect
short_description: Wait until the machine of a session answers over SSH
description:
  - Notes the machine's one host key in a file on the controller, and waits until the machine
    answers with it.
  - Fails at once when somebody answers with another key; nothing is sent to him.
  - This is an action plugin. Its host must be reached by the connection
    P(slipway.imaging.session#connection), as the role P(slipway.imaging.imaging_session#role) says.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
options:
  host_key:
    description: The key, as the server saw it at the check-in.
    type: str
    required: true
  server:
    description:
      - Image server of the machine. If the inventory says its C(client_image_ssh_public_key), no
        other key is offered.
    type: str
  timeout:
    description: Seconds to wait.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Wait until the machine answers
  slipway.imaging.session_connect:
    host_key: "{{ seen.session.host_key }}"
"""

RETURN = r"""
seconds:
  description: How long it took.
  type: float
  returned: success
"""
