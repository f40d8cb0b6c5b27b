# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of content: one small module for each family, found through `registry`."""
