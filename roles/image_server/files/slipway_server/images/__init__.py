# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store holds: chunks, versions, what is known of them, and their checks."""
