# SPDX-License-Identifier: GPL-3.0-or-later
"""ext2, ext3, ext4."""

from __future__ import annotations

import re
from collections.abc import Generator

from slipway.engine.content.base import Decision, Volume, refusal, unclean, without_bad
from slipway.engine.content.ext_journal import in_use_after_replay
from slipway.engine.errors import ToolError
from slipway.engine.run import ToolMissing, lines, run
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
        if "journal_dev" in features or (
            "has_journal" in features and ("Journal UUID" in fields or "Journal device" in fields)
        ):
            raise refusal(volume, "has its journal on another device", "move the journal inside")
        size = int(fields["Block count"]) * int(fields["Block size"])
        if size > volume.size:
            raise refusal(
                volume,
                f"says it has {size} bytes, its partition has {volume.size}",
                "repair the partition table or shrink the file system",
            )
        if fields.get("Filesystem state", "").strip() != "clean":
            raise unclean(volume, "is marked as not clean", f"{_REPLAY}, or run e2fsck")
        if "needs_recovery" in features:
            if volume.unclean == "refuse" or not _readable_journal(volume, fields):
                raise unclean(
                    volume, "was not unmounted cleanly: its journal is not empty", _REPLAY
                )
            return Decision("used", "with what its journal adds when it is replayed", replayed=True)
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks, the file system's metadata among them, and no bad blocks.

        Where the journal needs recovery: what is in use before or after it.
        """
        fields = _superblock(volume)
        features = fields["Filesystem features"].split()
        block, wanted = int(fields["Block size"]), int(fields["Free blocks"])
        recovers = "needs_recovery" in features
        free = Extents.of(_free_blocks(volume, block, ok=not recovers))
        used = free.complement(volume.size)
        if recovers:
            used = used.union(in_use_after_replay(volume, fields))
        elif free.total != wanted * block and "bigalloc" not in features:
            raise refusal(
                volume,
                f"has {free.total // block} free blocks, its superblock says {wanted}",
                "run e2fsck",
            )
        return without_bad(used, _bad_blocks(volume, block), volume.size)


def _readable_journal(volume: Volume, fields: dict[str, str]) -> bool:
    """Whether all of the journal can be understood. A fast commit says nothing about bitmaps."""
    if "fast_commit" in fields["Filesystem features"].split():
        return False
    try:
        in_use_after_replay(volume, fields)
    except ToolMissing:
        raise
    except ToolError:
        return False
    return True


def _bad_blocks(volume: Volume, block: int) -> list[tuple[int, int]]:
    """What mkfs or e2fsck found to be bad: marked as used, and of no file."""
    numbers = run(["dumpe2fs", "-b", str(volume.device)]).stdout.split()
    return [(int(number) * block, (int(number) + 1) * block) for number in numbers]


def _superblock(volume: Volume) -> dict[str, str]:
    return dict(_FIELD.findall(run(["dumpe2fs", "-h", str(volume.device)]).stdout))


def _free_blocks(volume: Volume, block: int, ok: bool) -> Generator[tuple[int, int], None, None]:
    """With bigalloc a range names the first block of its last cluster: the rest stays used.

    Where a journal was being written back, dumpe2fs lists bitmaps that do not have the checksums
    that stand beside them yet, and ends with an error.
    """
    with lines(["dumpe2fs", str(volume.device)], ok) as text:
        for line in text:
            if (found := _FREE.match(line)) is None:
                continue
            for part in found[1].split(", "):
                first, _, last = part.strip().partition("-")
                yield int(first) * block, (int(last or first) + 1) * block
