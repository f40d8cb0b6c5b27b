# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes by subject, thin: what they do stands in the other rooms."""
