# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of the modules that ask the control service."""

from __future__ import annotations


class ModuleDocFragment:
    """How the administration socket of the service is reached."""

    DOCUMENTATION = r"""
options:
  admin_socket:
    description:
      - Administration socket of the control service. It belongs to root.
    type: path
    default: /run/slipway/admin.sock
requirements:
  - Runs on the image server as root, with C(become).
"""
