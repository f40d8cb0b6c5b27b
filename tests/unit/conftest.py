# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests share."""

import os

from hypothesis import settings

# `make fuzz` asks for more; hypothesis itself would try 100.
WANTED = os.environ.get("SLIPWAY_FUZZ")

# A test that says how long an example may take fails on a busy machine, and proves nothing.
# `make fuzz` searches; the same examples each time find what a change has broken, and nothing else.
settings.register_profile(
    "slipway", deadline=None, max_examples=int(WANTED or 100), derandomize=WANTED is None
)
settings.load_profile("slipway")
