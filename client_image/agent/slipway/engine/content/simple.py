"""exFAT, F2FS and HFS+: partclone maps them, and one flag tells whether they are clean."""

from __future__ import annotations

import struct

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.content.partclone import partclone_map
from slipway.format import Extents

_SMALLEST_F2FS = 100 << 20
_CLEANLY = "eject it cleanly in its own system"


class ExFat:
    """The boot sector's volume flags say whether the allocation bitmap is up to date."""

    types = frozenset({"exfat"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume that is marked dirty."""
        (flags,) = struct.unpack_from("<H", volume.read(0, 512), 106)
        if flags & 0x0002:
            raise refusal(volume, "is marked dirty", _CLEANLY)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters."""
        return partclone_map("exfat", volume)


class F2fs:
    """The newer of two checkpoints says whether it was written by an unmount."""

    types = frozenset({"f2fs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse what a mount would roll forward: those blocks are in no map yet."""
        if volume.size < _SMALLEST_F2FS:
            return Decision("whole", "partclone refuses an F2FS below 100 MiB")
        head = volume.read(1024, 512)
        (log_block, log_segment) = struct.unpack_from("<II", head, 16)
        (first,) = struct.unpack_from("<I", head, 76)
        packs = [
            volume.read((first + number) << log_block, 512)
            for number in (0, 1 << log_segment)
            if log_block == 12 and log_segment <= 20
        ]
        newest = max((struct.unpack_from("<Q124xI", pack) for pack in packs), default=(0, 0))
        if not newest[1] & 0x0001:
            raise refusal(volume, "was not unmounted cleanly", _CLEANLY)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks."""
        return partclone_map("f2fs", volume)


class HfsPlus:
    """The volume header's attributes say whether it was unmounted."""

    types = frozenset({"hfsplus", "hfsx"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume whose journal or bitmap is still open."""
        (attributes,) = struct.unpack_from(">I", volume.read(1024, 512), 4)
        if not attributes & 0x0100:
            raise refusal(volume, "was not unmounted cleanly", _CLEANLY)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks."""
        return partclone_map("hfsplus", volume)
