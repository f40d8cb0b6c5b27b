# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests share."""

import os

from hypothesis import settings

# `make fuzz` asks for more; hypothesis itself would try 100.
FUZZ = int(os.environ.get("SLIPWAY_FUZZ", "100"))

# A test that says how long an example may take fails on a busy machine, and proves nothing.
settings.register_profile("slipway", deadline=None, max_examples=FUZZ)
settings.load_profile("slipway")
