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
