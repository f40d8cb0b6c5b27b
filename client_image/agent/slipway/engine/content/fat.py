"""FAT12, FAT16, FAT32."""

from __future__ import annotations

from slipway.engine.content.base import Decision, Volume
from slipway.engine.content.partclone import partclone_map
from slipway.format import Extents


class Fat:
    """Partclone follows the allocation table, but misreads the one of FAT12."""

    types = frozenset({"vfat", "msdos", "fat"})

    def decide(self, volume: Volume) -> Decision:
        """FAT12 is at most 128 MB and is saved whole."""
        version = volume.fields.get("ID_FS_VERSION", "")
        if version in ("FAT16", "FAT32"):
            return Decision("used")
        return Decision("whole", f"the used map of {version or 'this FAT'} can't be trusted")

    def used(self, volume: Volume) -> Extents:
        """Used clusters, and all behind the last one."""
        return partclone_map("fat", volume)
