# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to the image server: the HTTPS store, sessions, check-in."""
