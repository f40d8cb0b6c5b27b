# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an address is, and who asked from one that is not the machine's."""
