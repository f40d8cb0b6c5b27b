#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_leave
short_description: Tell a machine what to do after its session
description:
  - Tells the machine once, waits no longer than twenty seconds for its answer, and does not fail
    when there is none.
  - Removes the file with the machine's host key from the controller, unless the machine stays.
  - This is an action plugin. Its host must be reached by the connection
    P(slipway.imaging.session#connection), as the role P(slipway.imaging.imaging_session#role) says.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
options:
  after:
    description: What the machine does then.
    type: str
    choices: [stay, reboot, poweroff]
    required: true
"""

EXAMPLES = r"""
- name: Let the machine boot its own disk
  slipway.imaging.session_leave:
    after: reboot
"""

RETURN = r"""
heard:
  description: Whether the machine answered.
  type: bool
  returned: success
"""
