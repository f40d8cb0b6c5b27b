"""Contents that are never mapped: saved whole, or left alone, each with the reason."""

from __future__ import annotations

import struct

from slipway.engine.content.base import Decision, Volume
from slipway.format import Extents

HASHES = "DM_verity_hash"
_REASONS = {
    "BitLocker": "encrypted by BitLocker",
    "jfs": "no program tells which blocks of jfs are in use",
    **dict.fromkeys(
        (
            "bcache",
            "bcachefs",
            "ceph_bluestore",
            "drbd",
            "LVM1_member",
            "mpath_member",
            "stratis",
            "VMFS_volume_member",
            "zfs_member",
        ),
        "it may be one of several, and is sound only together with them",
    ),
}


class Unmapped:
    """Kinds that Slipway knows by name and saves whole."""

    types = frozenset(_REASONS)

    def decide(self, volume: Volume) -> Decision:
        """Whole."""
        return Decision("whole", _REASONS[volume.type])

    def used(self, volume: Volume) -> Extents:
        """Every sector."""
        return Extents.whole(volume.size)


class VerityHashes:
    """The hash tree of dm-verity. Which volume it belongs to stands nowhere, but its size does."""

    types = frozenset({HASHES})

    def decide(self, volume: Volume) -> Decision:
        """Whole, with what is known of the volume that it belongs to."""
        # Of the superblock: data block size, hash block size, data blocks.
        block, _, count = struct.unpack_from("<IIQ", volume.read(0, 512), 64)
        return Decision("whole", "hashes of another partition", hashes=block * count)

    def used(self, volume: Volume) -> Extents:
        """Every sector."""
        return Extents.whole(volume.size)
