"""How much one backup may send: a rule of its own, without a clock and without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slipway.format.codec import MAX_DISKS, MAX_SEGMENTS
from slipway.format.frames import MIN_CELL

# What does not pack takes a little more than itself; a table may have changed meanwhile.
_SLACK = 1 << 30


class Amount(NamedTuple):
    """Bytes of frames that were sent, and chunks that were sent or proven."""

    sent: int = 0
    chunks: int = 0


def allowed(most: int, hardware: Mapping[str, Any]) -> Amount:
    """What a machine's session may use up.

    ``most`` is the administrator's limit in bytes. A machine that says how large its disks are
    gets no more than those can hold; one that says nothing, or lies, has the administrator's.
    """
    disks = hardware.get("disk_bytes")
    if isinstance(disks, int) and not isinstance(disks, bool) and disks > 0:
        # Whole numbers: a machine may say one that no float holds.
        most = min(most, disks * 5 // 4 + _SLACK)
    # Each segment may end in a cell that is shorter than the others.
    return Amount(most, most // MIN_CELL + MAX_DISKS * MAX_SEGMENTS)
