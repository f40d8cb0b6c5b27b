# SPDX-License-Identifier: GPL-3.0-or-later
"""The control service of a Slipway image server: sessions, check-in, chunks, images."""

__version__ = "0.1.0"
