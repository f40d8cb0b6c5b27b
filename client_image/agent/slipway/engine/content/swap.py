"""Swap space: everything that makes it this swap space stands in its first page."""

from __future__ import annotations

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.format import Extents

_PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
_SIGNATURES = (b"SWAPSPACE2", b"SWAP-SPACE")
_SUSPENDED = (
    b"S1SUSPEND",
    b"S2SUSPEND",
    b"ULSUSPEND",
    b"LINHIB0001",
    b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
)


class Swap:
    """Version, UUID, label, page size and bad pages are saved; the pages are not."""

    types = frozenset({"swap", "swsuspend"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a hibernated system: its memory lies here and its file systems are open."""
        head = volume.read(0, _PAGE_SIZES[-1])
        marks = [head[size - 10 : size] for size in _PAGE_SIZES]
        if any(mark.startswith(_SUSPENDED) for mark in marks):
            raise refusal(
                volume,
                "holds a hibernated system",
                "start the PC's own system and shut it down instead of hibernating",
            )
        if _page_size(head):
            return Decision("swap")
        return Decision("whole", "its page size is not known")

    def used(self, volume: Volume) -> Extents:
        """The first page."""
        return Extents.whole(_page_size(volume.read(0, _PAGE_SIZES[-1])))


def _page_size(head: bytes) -> int:
    """The page at whose end the signature stands; 0 when there is none."""
    return next((size for size in _PAGE_SIZES if head[size - 10 : size] in _SIGNATURES), 0)
