# SPDX-License-Identifier: GPL-3.0-or-later
"""Stays of machines in the imaging environment, from the request to the end."""
