# SPDX-License-Identifier: GPL-3.0-or-later
"""reiserfs."""

from __future__ import annotations

import re

from slipway.engine.content.base import Decision, Volume, refusal, unclean
from slipway.engine.errors import ToolError
from slipway.engine.run import lines, run
from slipway.format import Extents

_BLOCK = re.compile(r"^Blocksize: (\d+)$")
_JOURNAL = re.compile(r"^\s+Device \[0x([0-9a-f]+)\]", re.MULTILINE)
_STATE = re.compile(r"^Fs state field: 0x([0-9a-f]+)", re.MULTILINE)
_FREE = re.compile(r"Free ?\((\d+)-(\d+)\)")


class Reiserfs:
    """Partclone left reiserfs behind; debugreiserfs still prints the bitmaps."""

    types = frozenset({"reiserfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse what a mount would replay: the bitmaps are older than the journal."""
        text = run(["debugreiserfs", str(volume.device)]).stdout
        if (found := _JOURNAL.search(text)) is not None and int(found[1], 16):
            raise refusal(volume, "has its journal on another device", "move the journal inside")
        if (state := _STATE.search(text)) is not None and int(state[1], 16):
            raise unclean(volume, "asks for a check", "run reiserfsck")
        if "Filesystem is clean" not in text:
            raise unclean(
                volume,
                "was not unmounted cleanly",
                "start the PC's own system and shut it down cleanly, or run reiserfsck",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Everything but the blocks that the bitmaps say are free."""
        block, bitmaps, free = 0, 0, []
        with lines(["debugreiserfs", "-m", str(volume.device)]) as text:
            for line in text:
                if found := _BLOCK.match(line):
                    block = int(found[1])
                elif line.startswith("#"):
                    bitmaps += 1
                    free += [(int(a) * block, (int(b) + 1) * block) for a, b in _FREE.findall(line)]
        if not block or not bitmaps:
            raise ToolError(f"{volume.id}: debugreiserfs printed no bitmap")
        return Extents.of(free).complement(volume.size)
