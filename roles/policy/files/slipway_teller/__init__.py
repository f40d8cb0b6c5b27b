# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells people what the control service has to say: by mail, by webhook, by a sign of life."""
