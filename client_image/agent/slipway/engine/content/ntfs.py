"""NTFS."""

from __future__ import annotations

import re

from slipway.engine.content.base import Decision, Volume, refusal, unclean, without_bad
from slipway.engine.content.partclone import partclone_map
from slipway.engine.errors import ToolError
from slipway.engine.run import Finished, run
from slipway.format import Extents

_FLAGS = re.compile(r"Volume Flags:\s*0x([0-9A-Fa-f]+)")
_CLUSTER = re.compile(r"Cluster Size:\s*(\d+)")
# Dirty, and a check of the volume that did not end.
_DIRTY = 0x0001 | 0x4000
# What ntfs-3g.probe ends with: its library's exit codes.
_CLEAN, _HIBERNATED, _LOG_IS_OPEN = 0, 14, 15
_BAD_CLUSTERS = 8
_RUN = re.compile(r"^\s+(\d+)\s+(-?\d+)\s+(\d+)$", re.MULTILINE)
_CHECK = "start Windows and run chkdsk /f"
_SHUT_DOWN = "start Windows, turn Fast Startup off (powercfg /h off) and shut it down, not to sleep"


class Ntfs:
    """Partclone reads the cluster bitmap. Neither it nor its library notices hibernation, or a
    journal whose entries have not reached that bitmap yet."""

    types = frozenset({"ntfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume that Windows has not let go of."""
        info = _info(volume)
        flags = _FLAGS.search(info.stdout)
        if info.code != 0 or flags is None:
            raise refusal(volume, f"is damaged: {info.last_words()}", f"{_CHECK} twice")
        # On a device that can't be written, asking whether it might be is only a question.
        answer = run(["ntfs-3g.probe", "--readwrite", str(volume.device)], ok=None)
        if answer.code == _HIBERNATED:
            raise unclean(volume, "holds a hibernated Windows", _SHUT_DOWN)
        if answer.code == _LOG_IS_OPEN:
            raise unclean(volume, "was not shut down cleanly: its $LogFile is open", _SHUT_DOWN)
        if int(flags[1], 16) & _DIRTY:
            raise unclean(volume, "was not shut down cleanly", _CHECK)
        if answer.code != _CLEAN:
            raise ToolError(f"ntfs-3g.probe: {answer.last_words() or answer.code}")
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters, and the backup boot sector behind the last one; no bad clusters."""
        # Whether it is clean was asked before; ntfsresize marks what it made smaller for a check.
        used = partclone_map("ntfs", volume, "--ignore_fschk")
        return without_bad(used, _bad(volume), volume.size)


def _info(volume: Volume) -> Finished:
    return run(["ntfsinfo", "-f", "-m", str(volume.device)], ok=None)


def _bad(volume: Volume) -> list[tuple[int, int]]:
    """The runs of $BadClus, in bytes. Bad clusters are marked as used, and belong to no file."""
    query = ["ntfscluster", "-f", "-I", str(_BAD_CLUSTERS), str(volume.device)]
    runs = [(int(start), int(count)) for _, start, count in _RUN.findall(run(query).stdout)]
    size = _CLUSTER.search(_info(volume).stdout)
    if size is None:
        raise ToolError("ntfsinfo names no cluster size")
    unit = int(size[1])
    return [(start * unit, (start + count) * unit) for start, count in runs if start >= 0]
