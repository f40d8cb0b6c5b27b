"""NTFS."""

from __future__ import annotations

import re

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.content.partclone import partclone_map
from slipway.engine.run import head, run
from slipway.format import Extents

_FLAGS = re.compile(r"Volume Flags:\s*0x([0-9A-Fa-f]+)")
_DIRTY = 0x0001
_HIBERNATED = ("hibr", "HIBR")
_FAST_STARTUP = (
    "start Windows, turn Fast Startup off (powercfg /h off) and shut it down, not to sleep"
)


class Ntfs:
    """Partclone reads the cluster bitmap. Neither it nor its library notices hibernation."""

    types = frozenset({"ntfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume that Windows has not let go of."""
        info = run(["ntfsinfo", "-f", "-m", str(volume.device)], ok=None)
        flags = _FLAGS.search(info.stdout)
        if info.code != 0 or flags is None:
            raise refusal(volume, "is damaged", "start Windows and run chkdsk /f twice")
        if int(flags[1], 16) & _DIRTY:
            raise refusal(volume, "was not shut down cleanly", "start Windows and run chkdsk /f")
        # The file is as large as the memory: only its first word tells.
        if head(["ntfscat", "-f", str(volume.device), "hiberfil.sys"], 4) in _HIBERNATED:
            raise refusal(volume, "holds a hibernated Windows", _FAST_STARTUP)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters, and the backup boot sector behind the last one."""
        # Whether it is clean was asked before; ntfsresize marks what it made smaller for a check.
        return partclone_map("ntfs", volume, "--ignore_fschk")
