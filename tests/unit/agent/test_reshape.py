# SPDX-License-Identifier: GPL-3.0-or-later
"""Places on a disk of another size, and a segment's content under change: arithmetic alone."""

import struct
from collections.abc import Callable

import pytest
from slipway.engine.errors import TargetRefused
from slipway.engine.reshape import at_place, end_of, squeezed
from slipway.format import Disk, Extents, Identity, Manifest, Segment, Table

MIB = 1 << 20
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


def part(number: int, start: int, size: int, content: str = "ext4") -> Segment:
    return Segment(
        "partition", start * MIB, size * MIB, Extents.of([]), b"", number, content, "used"
    )


class Shrinks:
    """Says how small each can be, in MiB, and notes what it was asked to do."""

    def __init__(self, least: dict[int, int]) -> None:
        self.leasts = least
        self.asked: list[int] = []

    def least(self, segment: Segment, wish: int) -> int:
        self.asked.append(segment.partition or 0)
        return self.leasts[segment.partition or 0] * MIB

    def shrink(self, segment: Segment, room: int) -> Segment:
        assert room >= self.leasts[segment.partition or 0] * MIB
        return Segment(
            "partition",
            segment.offset,
            room,
            segment.used,
            b"",
            segment.partition,
            segment.content,
            "used",
        )


def disk(*parts: Segment) -> Disk:
    return Disk("disk0", Identity(), 1000 * MIB, 512, 512, Table("gpt"), parts)


def places(image: Disk) -> list[tuple[int, int]]:
    return [(each.offset // MIB, each.size // MIB) for each in image.segments]


def test_the_largest_gives_what_it_has() -> None:
    """The others are not even looked at."""
    shrinks = Shrinks({1: 10, 2: 100})
    image = disk(part(1, 1, 99), part(2, 100, 800), part(3, 900, 50, "xfs"))
    new = squeezed(image, 400 * MIB, shrinks, 0)
    assert places(new.image) == [(1, 99), (100, 250), (350, 50)]
    assert (new.starts, new.ends) == ({3: 350 * MIB}, {2: 350 * MIB, 3: 400 * MIB})
    assert shrinks.asked == [2]


@pytest.mark.parametrize("limit", [500, 333, 215, 210])
def test_all_give_in_proportion(limit: int) -> None:
    image = disk(part(1, 1, 399), part(2, 400, 300), part(3, 700, 200))
    new = squeezed(image, limit * MIB, Shrinks({1: 9, 2: 100, 3: 100}), 0)
    assert max(map(end_of, new.image.segments)) == limit * MIB
    for before, after in zip(new.image.segments, new.image.segments[1:], strict=False):
        assert end_of(before) == after.offset


def test_too_small_by_one_sector() -> None:
    image = disk(part(1, 1, 399), part(2, 400, 300))
    with pytest.raises(TargetRefused, match=f"needs {110 * MIB} ") as caught:
        squeezed(image, 110 * MIB - 512, Shrinks({1: 9, 2: 100}), 0)
    assert "disk0:1 (ext4) can be made as small as" in caught.value.message
    squeezed(image, 110 * MIB, Shrinks({1: 9, 2: 100}), 0)


def test_the_place_in_a_boot_sector_follows_where_it_was_right() -> None:
    head = bytes(28) + (2048).to_bytes(4, "little") + bytes(480)
    assert at_place(head, 2048, 4096)[28:32] == (4096).to_bytes(4, "little")
    assert at_place(head, 63, 4096) == head
    head = bytearray(512 * 8)
    struct.pack_into("<H", head, 11, 512)
    struct.pack_into("<H", head, 50, 6)
    head[82:87] = b"FAT32"
    for sector in (0, 6):
        struct.pack_into("<I", head, 512 * sector + 28, 2048)
    moved = at_place(bytes(head), 2048, 6144)
    assert [moved.count(struct.pack("<I", each)) for each in (2048, 6144)] == [0, 2]
