# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT12, FAT16, FAT32."""

from __future__ import annotations

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.content.fat_tables import BOOT_SECTOR, parse_fat
from slipway.format import Extents


class Fat:
    """Its allocation tables are all there is to know: there is no journal, and no bitmap.

    So a volume that was not unmounted is no special case. What its tables call free belongs to no
    file there either.
    """

    types = frozenset({"vfat", "msdos", "fat"})

    def decide(self, volume: Volume) -> Decision:
        """Save whole what says about itself what can't be."""
        tables = parse_fat(volume.read(0, BOOT_SECTOR))
        if tables is None:
            return Decision("whole", "its boot sector describes a FAT that is not known here")
        if tables.size > volume.size:
            raise refusal(
                volume,
                f"says it has {tables.size} bytes, its partition has {volume.size}",
                "repair the partition table or shrink the file system",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters, and all outside of the clusters."""
        tables = parse_fat(volume.read(0, BOOT_SECTOR))
        if tables is None:
            return Extents.whole(volume.size)
        return tables.used(volume.read, volume.size)
