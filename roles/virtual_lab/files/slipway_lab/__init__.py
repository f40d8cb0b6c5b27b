# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual lab: an image server and PCs in a network namespace of their own.

Standard library only: the lab must come down even when the project's virtual
environment is broken or gone.
"""

from slipway_lab.api import Lab, Pc, Server
from slipway_lab.errors import LabError

__all__ = ["Lab", "LabError", "Pc", "Server"]
