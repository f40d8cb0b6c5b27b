"""Swap space: everything that makes it this swap space stands in its first page."""

from __future__ import annotations

import struct

from slipway.engine.content.base import Decision, Volume, unclean
from slipway.format import Extents, FormatError

_PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
_SIGNATURES = (b"SWAPSPACE2", b"SWAP-SPACE")
_SUSPENDED = (
    b"S1SUSPEND",
    b"S2SUSPEND",
    b"ULSUSPEND",
    b"LINHIB0001",
    b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
)
# Offsets in the first page, as in the kernel's union swap_header.
_VERSION, _LAST_PAGE, _BAD_COUNT, _BAD_PAGES = 1024, 1028, 1032, 1536


class Swap:
    """Version, UUID, label, page size and bad pages are saved; the pages are not."""

    types = frozenset({"swap", "swsuspend"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a hibernated system: its memory lies here and its file systems are open."""
        head = volume.read(0, _PAGE_SIZES[-1])
        marks = [head[size - 10 : size] for size in _PAGE_SIZES]
        if any(mark.startswith(_SUSPENDED) for mark in marks):
            raise unclean(
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


def resized(head: bytes, size: int) -> bytes:
    """The first page for swap space of `size` bytes: same UUID, label and page size.

    FormatError when `head` is no such page.
    """
    page = _page_size(head)
    if not page or size < 2 * page or len(head) < page:
        raise FormatError("it holds no header of a swap space")
    order = "<" if struct.unpack_from("<I", head, _VERSION)[0] == 1 else ">"
    last = size // page - 1
    (count,) = struct.unpack_from(f"{order}I", head, _BAD_COUNT)
    count = min(count, (page - _BAD_PAGES) // 4)
    bad = struct.unpack_from(f"{order}{count}I", head, _BAD_PAGES)
    kept = [number for number in bad if number <= last]
    result = bytearray(head)
    struct.pack_into(f"{order}II", result, _LAST_PAGE, last, len(kept))
    struct.pack_into(f"{order}{count}I", result, _BAD_PAGES, *kept, *[0] * (count - len(kept)))
    return bytes(result)
