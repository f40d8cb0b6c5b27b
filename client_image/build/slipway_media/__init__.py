# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes boot media for PCs that can't boot from the network by themselves."""
