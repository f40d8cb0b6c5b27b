# SPDX-License-Identifier: GPL-3.0-or-later
"""F2FS."""

from __future__ import annotations

import struct

from slipway.engine.content.base import Decision, Volume, refusal, unclean
from slipway.engine.content.partclone import partclone_map
from slipway.format import Extents

_SMALLEST = 100 << 20
_BLOCK = 4096
# The kernel's struct f2fs_super_block, 1024 bytes into the volume, and struct f2fs_checkpoint.
_SUPER_AT = 1024
_LOG_SIZES, _BLOCKS, _CHECKPOINTS, _DEVICES = 16, 36, 76, 2201
_FLAGS, _PACK_BLOCKS = 132, 136
_UNMOUNTED = 0x0001
# An error was met, fsck is asked for, or checkpoints are switched off.
_DOUBTFUL = 0x0008 | 0x0010 | 0x1000


class F2fs:
    """The newer of two checkpoints says whether it was written by an unmount."""

    types = frozenset({"f2fs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse what a mount would roll forward: those blocks are in no map yet."""
        head = volume.read(_SUPER_AT, 4096 - _SUPER_AT)
        if head[_DEVICES : _DEVICES + 1] != b"\0":
            raise refusal(
                volume, "spans several devices", "copy its files to a file system on one device"
            )
        (blocks,) = struct.unpack_from("<Q", head, _BLOCKS)
        if blocks * _BLOCK > volume.size:
            raise refusal(
                volume,
                f"says it has {blocks * _BLOCK} bytes, its partition has {volume.size}",
                "repair the partition table or shrink the file system",
            )
        if volume.size < _SMALLEST:
            return Decision("whole", "partclone refuses an F2FS below 100 MiB")
        (log_block, log_segment) = struct.unpack_from("<II", head, _LOG_SIZES)
        if log_block != 12 or log_segment > 20:
            return Decision("whole", "its blocks are of another size than partclone knows")
        [first] = struct.unpack_from("<I", head, _CHECKPOINTS)
        flags = _newest_flags(volume, first, log_segment)
        if not flags & _UNMOUNTED or flags & _DOUBTFUL:
            why = "was not unmounted cleanly" if not flags & _UNMOUNTED else "asks for a check"
            raise unclean(volume, why, "eject it cleanly in its own system, or run fsck.f2fs")
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks."""
        return partclone_map("f2fs", volume)


def _newest_flags(volume: Volume, first: int, log_segment: int) -> int:
    """The flags of the checkpoint in use; 0 when neither is complete."""
    packs = []
    for start in (first, first + (1 << log_segment)):
        head = volume.read(start * _BLOCK, _BLOCK)
        version, flags, count = struct.unpack_from(f"<Q{_FLAGS - 8}xII", head)
        if 0 < count <= 1 << log_segment:
            # Its first block stands once more at its end, written last.
            tail = volume.read((start + count - 1) * _BLOCK, 8)
            packs += [(version, flags)] * (tail == head[:8])
    return max(packs, default=(0, 0))[1]
