# SPDX-License-Identifier: GPL-3.0-or-later
"""A version's disk as bytes: what a restore onto an empty disk leaves, and errors, never lies."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.engine.devices import find_disk
from slipway.engine.errors import ImageDamaged, UsageError
from slipway.engine.match import Pair
from slipway.engine.memory_store import MemoryStore
from slipway.engine.progress import Meter
from slipway.engine.restore import restore
from slipway.engine.virtual_disk import GRAIN, VirtualDisk
from slipway.format import (
    Disk,
    Extents,
    Identity,
    Manifest,
    Segment,
    Table,
    digest_of,
    make_frame,
)

MIB = 1 << 20
SIZE = 24 * MIB
PARTS = [
    (MIB, 10 * MIB + 512, [(0, 5 * MIB), (6 * MIB, 6 * MIB + 4096), (10 * MIB, 10 * MIB + 512)]),
    (12 * MIB, 8 * MIB, [(0, MIB)]),
]
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


class Counting(MemoryStore):
    """A store that counts what is fetched."""

    def __init__(self, chunks: dict[str, bytes]) -> None:
        super().__init__()
        self.chunks = chunks
        self.fetched = 0

    def get(self, digest: str) -> bytes:
        self.fetched += 1
        return super().get(digest)


@pytest.fixture
def image(image_maker: Maker) -> tuple[Manifest, Counting]:
    manifest, chunks = image_maker(random.Random(1).randbytes(SIZE), PARTS)
    return manifest, Counting(chunks)


def restored(manifest: Manifest, store: MemoryStore, path: Path) -> bytes:
    path.write_bytes(bytes(manifest.disks[0].size))
    restore(manifest, [Pair(manifest.disks[0], find_disk(path))], store, Meter(), "restore")
    return path.read_bytes()


def test_it_is_what_a_restore_leaves(image: tuple[Manifest, Counting], tmp_path: Path) -> None:
    manifest, store = image
    wanted = restored(manifest, store, tmp_path / "disk")
    disk = VirtualDisk(manifest, "disk0", store)
    assert disk.size == SIZE
    assert disk.read(0, SIZE) == wanted
    chance = random.Random(2)
    for _ in range(300):
        start = chance.randrange(SIZE)
        size = chance.randrange(1, min(3 * MIB, SIZE - start) + 1)
        assert disk.read(start, size) == wanted[start : start + size]


def test_holes_are_said_and_are_zero(image: tuple[Manifest, Counting]) -> None:
    manifest, store = image
    disk = VirtualDisk(manifest, "disk0", store)
    for start, size in ((0, SIZE), (3 * MIB + 7, 9 * MIB), (7 * MIB, 4096), (SIZE - 1, 1)):
        position = start
        for begin, end, used in disk.extents(start, size):
            assert begin == position < end
            assert used or not any(disk.read(begin, end - begin))
            position = end
        assert position == start + size
    holes = [end - begin for begin, end, used in disk.extents(0, SIZE) if not used]
    assert sum(holes) > 14 * MIB
    assert min(holes) >= GRAIN


def test_memory_is_bounded(image: tuple[Manifest, Counting]) -> None:
    """Two cells are kept: what was read lately costs nothing, what was let go is fetched anew."""
    manifest, store = image
    disk = VirtualDisk(manifest, "disk0", store, cache=2 * MIB)
    disk.read(0, 2 * MIB)
    assert store.fetched == 2
    disk.read(MIB - 4096, 8192)
    assert store.fetched == 2
    disk.read(3 * MIB, 1)
    disk.read(0, 1)
    assert store.fetched == 4


@pytest.mark.parametrize("spoil", ["gone", "other", "flipped", "short"])
def test_a_bad_chunk_is_an_error_that_names_it(
    image: tuple[Manifest, Counting], spoil: str
) -> None:
    manifest, store = image
    digests = [digest for digest, _ in manifest.chunks()]
    bad = digests[2]
    frame = store.chunks.pop(bad)
    if spoil == "other":
        store.chunks[bad] = store.chunks[digests[3]]
    elif spoil == "flipped":
        store.chunks[bad] = frame[:500] + bytes([frame[500] ^ 1]) + frame[501:]
    elif spoil == "short":
        store.chunks[bad] = frame[:-1]
    disk = VirtualDisk(manifest, "disk0", store)
    with pytest.raises(ImageDamaged, match=bad):
        disk.read(2 * MIB + 5, 10)
    # What lies elsewhere is as good as before.
    assert any(disk.read(MIB, MIB))


def test_a_disk_without_a_table_begins_with_its_first_sector(tmp_path: Path) -> None:
    """Its content is a segment that begins there as well."""
    content = random.Random(3).randbytes(3 * MIB)
    store, digests = MemoryStore(), []
    for data in (content[:512], bytes(512) + content[512:MIB], content[MIB : 2 * MIB]):
        digests.append(_kept(store, data))
    sector = Segment("boot", 0, 512, Extents.whole(512), digests[0], content="table")
    used = Extents.of([(512, 2 * MIB)])
    inner = Segment("partition", 0, 3 * MIB, used, digests[1] + digests[2], 0, "ext4", "used")
    disk = Disk("disk0", Identity(), 3 * MIB, 512, 512, Table("none"), (sector, inner))
    manifest = Manifest("pc", MIB, (disk,))
    wanted = content[: 2 * MIB] + bytes(MIB)
    assert restored(manifest, store, tmp_path / "disk") == wanted
    virtual = VirtualDisk(manifest, "disk0", store)
    assert virtual.read(0, 3 * MIB) == wanted
    assert virtual.read(510, 4) == wanted[510:514]
    assert virtual.read(2 * MIB - 2, 4) == wanted[2 * MIB - 2 : 2 * MIB + 2]


def _kept(store: MemoryStore, data: bytes) -> bytes:
    store.put(digest_of(data), make_frame(data))
    return bytes.fromhex(digest_of(data))


def test_a_disk_that_is_not_there_is_refused(image: tuple[Manifest, Counting]) -> None:
    manifest, store = image
    with pytest.raises(UsageError, match="no disk disk7") as caught:
        VirtualDisk(manifest, "disk7", store)
    assert "disk0" in caught.value.remedy
