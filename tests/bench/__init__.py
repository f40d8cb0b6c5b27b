# SPDX-License-Identifier: GPL-3.0-or-later
"""Slipway beside Clonezilla and FOG, on one disk in memory. README.md says how to read it."""
