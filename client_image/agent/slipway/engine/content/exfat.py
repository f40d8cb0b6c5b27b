# SPDX-License-Identifier: GPL-3.0-or-later
"""exFAT."""

from __future__ import annotations

import re
import struct

from slipway.engine.content.base import Decision, Volume, unclean, without_bad
from slipway.engine.content.partclone import partclone_map
from slipway.format import Extents

_ACTIVE_SECOND, _DIRTY = 0x0001, 0x0002
# FatOffset, ClusterHeapOffset, ClusterCount and, from 108 on, the exponents of sector and cluster
# size and NumberOfFats: "exFAT file system specification", 3.1.
_PLACES = struct.Struct("<I4xII")
_PLACES_AT, _SIZES_AT, _FLAGS_AT = 80, 108, 106
_FIRST_CLUSTER = 2
_SLICE = 1 << 20
_BAD = re.compile(rb"\xf7\xff\xff\xff")


class ExFat:
    """The boot sector's volume flags say whether the allocation bitmap is up to date."""

    types = frozenset({"exfat"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume that is marked dirty."""
        boot = volume.read(0, 512)
        (flags,) = struct.unpack_from("<H", boot, _FLAGS_AT)
        if flags & _DIRTY:
            raise unclean(volume, "is marked dirty", "eject it cleanly in its own system")
        if flags & _ACTIVE_SECOND or boot[_SIZES_AT + 2] != 1:
            return Decision("whole", "it has two tables, as partclone does not know them")
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used clusters. Bad ones are marked as used, and belong to no file."""
        return without_bad(partclone_map("exfat", volume), _bad(volume), volume.size)


def _bad(volume: Volume) -> Extents:
    boot = volume.read(0, 512)
    table, heap, count = _PLACES.unpack_from(boot, _PLACES_AT)
    sector, cluster = 1 << boot[_SIZES_AT], 1 << boot[_SIZES_AT] + boot[_SIZES_AT + 1]
    numbers = []
    for at in range(0, (count + _FIRST_CLUSTER) * 4, _SLICE):
        length = min(_SLICE, (count + _FIRST_CLUSTER) * 4 - at)
        found = _BAD.finditer(volume.read(table * sector + at, length))
        numbers += [(at + each.start()) // 4 for each in found if each.start() % 4 == 0]
    begin = heap * sector - _FIRST_CLUSTER * cluster
    return Extents.of((begin + n * cluster, begin + (n + 1) * cluster) for n in numbers)
