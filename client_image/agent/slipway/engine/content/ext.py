"""ext2, ext3, ext4."""

from __future__ import annotations

import re
from collections.abc import Generator

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.run import lines, run
from slipway.format import Extents

_FIELD = re.compile(r"^([A-Z][^:]*):\s*(.*)$", re.MULTILINE)
_FREE = re.compile(r"^  Free blocks: (.+)$")
_REPLAY = "start the PC's own system and shut it down cleanly"


class Ext:
    """Its own dumpe2fs reads the bitmaps: partclone takes four times as long on a large disk."""

    types = frozenset({"ext2", "ext3", "ext4", "ext4dev"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse everything whose bitmaps on the disk may be older than its files."""
        fields = _superblock(volume)
        features = fields.get("Filesystem features", "").split()
        if "needs_recovery" in features:
            raise refusal(volume, "was not unmounted cleanly: its journal is not empty", _REPLAY)
        if "journal_dev" in features or (
            "has_journal" in features and ("Journal UUID" in fields or "Journal device" in fields)
        ):
            raise refusal(volume, "has its journal on another device", "move the journal inside")
        if fields.get("Filesystem state", "").strip() != "clean":
            raise refusal(volume, "is marked as not clean", f"{_REPLAY}, or run e2fsck")
        size = int(fields["Block count"]) * int(fields["Block size"])
        if size > volume.size:
            raise refusal(
                volume,
                f"says it has {size} bytes, its partition has {volume.size}",
                "repair the partition table or shrink the file system",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks, the file system's metadata among them."""
        fields = _superblock(volume)
        block, wanted = int(fields["Block size"]), int(fields["Free blocks"])
        free = Extents.of(_free_blocks(volume, block))
        bigalloc = "bigalloc" in fields["Filesystem features"].split()
        if free.total != wanted * block and not bigalloc:
            raise refusal(
                volume,
                f"has {free.total // block} free blocks, its superblock says {wanted}",
                "run e2fsck",
            )
        return free.complement(volume.size)


def _superblock(volume: Volume) -> dict[str, str]:
    return dict(_FIELD.findall(run(["dumpe2fs", "-h", str(volume.device)]).stdout))


def _free_blocks(volume: Volume, block: int) -> Generator[tuple[int, int], None, None]:
    """With bigalloc a range names the first block of its last cluster: the rest stays used."""
    with lines(["dumpe2fs", str(volume.device)]) as text:
        for line in text:
            if (found := _FREE.match(line)) is None:
                continue
            for part in found[1].split(", "):
                first, _, last = part.strip().partition("-")
                yield int(first) * block, (int(last or first) + 1) * block
