# SPDX-License-Identifier: GPL-3.0-or-later
"""Slipway's agent: saves a machine's disks as images and writes them back."""

__version__ = "0.1.0"
