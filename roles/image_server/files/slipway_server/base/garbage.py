# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter's search for objects that only each other keep.

Everybody waits for it, a third of a second with fifteen thousand versions known, and it comes again
whenever there is a quarter more to look at. What stays for long is no part of it.
"""

from __future__ import annotations

import gc


def leave_out() -> None:
    """Leave what is there now out of every search to come. Takes no time."""
    gc.freeze()


async def search_all() -> None:
    """Search everything once, and leave out what is found to be of use."""
    gc.unfreeze()
    gc.collect()
    leave_out()
