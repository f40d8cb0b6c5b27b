# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session has a claim to, sends and publishes."""
