# SPDX-License-Identifier: GPL-3.0-or-later
"""XFS."""

from __future__ import annotations

import re

from slipway.engine.content.base import Decision, Volume, refusal, unclean
from slipway.engine.content.partclone import partclone_map
from slipway.engine.run import head, run
from slipway.format import Extents

_FIELD = re.compile(r"^(\w+) = (0x[0-9a-f]+|\d+)$", re.MULTILINE)
_WANTED = "logstart rblocks inprogress features_incompat"
_NEEDS_REPAIR = 0x10
_STATE = re.compile(r"log tail: .* state: <(\w+)>")
_TOP = 4096
_LARGEST = 16 << 40


class Xfs:
    """Partclone reads the free space trees, which are stale while the log is not empty."""

    types = frozenset({"xfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a dirty log; save whole what partclone can't map."""
        query = ["xfs_db", "-r", "-c", "sb 0", "-c", f"p {_WANTED}", str(volume.device)]
        found = dict(_FIELD.findall(run(query).stdout))
        fields = {name: int(found[name], 0) for name in _WANTED.split()}
        if not fields["logstart"]:
            raise refusal(volume, "has its log on another device", "save both devices together")
        if fields["rblocks"]:
            raise refusal(
                volume, "has a realtime section on another device", "save both devices together"
            )
        if volume.size > _LARGEST:
            return Decision("whole", "partclone miscounts an XFS above 16 TiB")
        if fields["inprogress"] or fields["features_incompat"] & _NEEDS_REPAIR:
            raise unclean(volume, "says that it needs a repair", "run xfs_repair")
        if _log_state(volume) != "CLEAN":
            raise unclean(
                volume,
                "was not unmounted cleanly: its log is not empty",
                "start the PC's own system and shut it down cleanly",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks, the log among them."""
        return partclone_map("xfs", volume)


def _log_state(volume: Volume) -> str:
    # The state stands at the top; a dirty log is listed behind it, however long it is.
    found = _STATE.search(head(["xfs_logprint", "-t", str(volume.device)], _TOP))
    return found[1] if found else ""
