# SPDX-License-Identifier: GPL-3.0-or-later
"""What names and texts may look like, for rules and for the API alike.

Names of machines, images and versions are the format's: `slipway.format.names`.
"""

from __future__ import annotations

import re

from slipway.format.names import is_name

# An item of a menu.
ITEM_PATTERN = "[a-z0-9][a-z0-9-]{0,31}"
# Who orders something: an account of a host, or one of the page.
ACCOUNT_PATTERN = "[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}"
# A group of the inventory.
GROUP_PATTERN = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
# What `registration_name` may be made of.
PLACEHOLDERS = ("serial", "mac", "uuid", "model")
# Characters of what is said of a job, and of a password.
MAX_TEXT = 2000
MAX_PASSWORD = 1024


def is_pattern(text: str) -> bool:
    """Whether names can be made from a pattern such as ``pc-{serial}``."""
    plain = re.sub("{(" + "|".join(PLACEHOLDERS) + ")}", "x", text)
    return is_name(plain)
