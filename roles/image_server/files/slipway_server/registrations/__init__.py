# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs that ask to become machines, and what machines said about themselves."""
