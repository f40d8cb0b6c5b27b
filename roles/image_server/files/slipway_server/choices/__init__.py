# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PC's user may start: menus, passwords and what comes of a choice."""
