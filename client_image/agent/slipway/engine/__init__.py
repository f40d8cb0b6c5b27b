# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing disks: probe, backup, compare, restore, and the stores they work with."""
