# SPDX-License-Identifier: GPL-3.0-or-later
"""HFS+."""

from __future__ import annotations

import struct

from slipway.engine.content.base import Decision, Volume, unclean
from slipway.engine.content.partclone import partclone_map
from slipway.format import Extents

# Apple's TN1150: signature, version, attributes, lastMountedVersion, journalInfoBlock; blockSize
# at 40. JournalInfoBlock: flags, device signature, offset, size. The journal's header: magic,
# endian, start, end.
_HEAD = struct.Struct(">2sHI4sI24xI")
_INFO = struct.Struct(">I32xQQ")
_SIGNATURES = (b"H+", b"HX")
_UNMOUNTED, _INCONSISTENT, _JOURNALED = 0x0100, 0x0800, 0x2000
_IN_FILE_SYSTEM, _TO_BE_MADE = 1, 4
_ENDIAN = 0x12345678
_CLEANLY = "eject it cleanly in its own system"


class HfsPlus:
    """The volume header's attributes say whether it was unmounted; its journal has to be empty."""

    types = frozenset({"hfsplus", "hfsx"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a volume whose journal or bitmap is still open."""
        signature, _, attributes, _, info, block = _HEAD.unpack_from(volume.read(1024, 512))
        if signature not in _SIGNATURES:
            return Decision("whole", "it lies inside a volume of HFS")
        if not attributes & _UNMOUNTED or attributes & _INCONSISTENT:
            raise unclean(volume, "was not unmounted cleanly", _CLEANLY)
        if attributes & _JOURNALED and not _journal_is_empty(volume, info * block):
            raise unclean(volume, "was not unmounted cleanly: its journal is not empty", _CLEANLY)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks."""
        return partclone_map("hfsplus", volume)


def _journal_is_empty(volume: Volume, at: int) -> bool:
    flags, offset, _ = _INFO.unpack_from(volume.read(at, _INFO.size))
    if flags & _TO_BE_MADE:
        return True
    if not flags & _IN_FILE_SYSTEM:
        return False
    head = volume.read(offset, 24)
    order = ">" if struct.unpack_from(">I", head, 4)[0] == _ENDIAN else "<"
    start, end = struct.unpack_from(f"{order}QQ", head, 8)
    return bool(start == end)
