"""FAT12, FAT16, FAT32."""

from __future__ import annotations

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.content.fat12 import BOOT_SECTOR, Fat12, parse_fat12
from slipway.engine.content.partclone import partclone_map
from slipway.engine.errors import ToolError
from slipway.format import Extents


class Fat:
    """Partclone follows the allocation table, but misreads the one of FAT12."""

    types = frozenset({"vfat", "msdos", "fat"})

    def decide(self, volume: Volume) -> Decision:
        """Save whole what says about itself what can't be."""
        version = volume.fields.get("ID_FS_VERSION", "")
        if version in ("FAT16", "FAT32"):
            return Decision("used")
        geometry = _fat12(volume)
        if version != "FAT12" or geometry is None:
            return Decision("whole", f"the used map of {version or 'this FAT'} can't be trusted")
        if geometry.size > volume.size:
            raise refusal(
                volume,
                f"says it has {geometry.size} bytes, its partition has {volume.size}",
                "repair the partition table or shrink the file system",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters, and all behind the last one."""
        if volume.fields.get("ID_FS_VERSION") != "FAT12":
            return partclone_map("fat", volume)
        geometry = _fat12(volume)
        if geometry is None:
            raise ToolError(f"{volume.id}: its boot sector changed while it was looked at")
        return geometry.used(volume.read, volume.size)


def _fat12(volume: Volume) -> Fat12 | None:
    return parse_fat12(volume.read(0, BOOT_SECTOR))
