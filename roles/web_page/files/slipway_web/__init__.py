# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: what goes on, for a browser. It asks the control service and keeps sign-ins alone."""

__version__ = "0.1.0"
