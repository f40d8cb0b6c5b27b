# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore with a store in memory and a file as the disk: order and amount of what is written."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.engine import cells, restore_work, target
from slipway.engine.devices import find_disk
from slipway.engine.errors import ImageDamaged, StoreRefused
from slipway.engine.match import Pair
from slipway.engine.memory_store import MemoryStore
from slipway.engine.progress import Meter
from slipway.engine.restore import restore
from slipway.engine.restore_work import Mode
from slipway.engine.result import Result
from slipway.format import Manifest, digest_of, make_frame

MIB = 1 << 20
SIZE = 24 * MIB
PARTS = [
    (MIB, 10 * MIB, [(0, 5 * MIB), (6 * MIB, 6 * MIB + 4096)]),
    (12 * MIB, 8 * MIB, [(0, MIB)]),
]
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


class House:
    """An image, its store and a target."""

    def __init__(self, path: Path, make: Maker) -> None:
        self.content = random.Random(1).randbytes(SIZE)
        self.content = self.content[:510] + b"\x55\xaa" + self.content[512:]
        self.manifest, chunks = make(self.content, PARTS)
        self.store = MemoryStore()
        self.store.chunks = chunks
        self.path = path
        path.write_bytes(self.old)
        self.writes: list[tuple[int, int]] = []

    old = bytes([0xA5]) * 510 + b"\x55\xaa" + bytes([0xA5]) * (SIZE - 512)

    def restore(self, mode: Mode = "restore") -> Result:
        pair = Pair(self.manifest.disks[0], find_disk(self.path))
        return restore(self.manifest, [pair], self.store, Meter(), mode, threads=3)

    def expected(self) -> bytes:
        result = bytearray(self.old)
        result[:MIB] = self.content[:MIB]
        # No mark of another system is left in the free parts of a volume's first and last MiB.
        behind = PARTS[-1][0] + PARTS[-1][1]
        for start, end in [*((at, at + size) for at, size, _ in PARTS), (behind, SIZE)]:
            for edge in (start, end - MIB):
                result[edge : edge + MIB] = bytes(MIB)
        for offset, _, used in PARTS:
            for start, end in used:
                result[offset + start : offset + end] = self.content[offset + start : offset + end]
        return bytes(result)


@pytest.fixture
def house(tmp_path: Path, image_maker: Maker, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path / "disk", image_maker)
    real = cells.write_at

    def spy(handle: int, content: memoryview, offset: int) -> None:
        house.writes.append((offset, len(content)))
        real(handle, content, offset)

    monkeypatch.setattr(cells, "write_at", spy)
    monkeypatch.setattr(target, "write_at", spy)
    return house


def test_used_ranges_and_nothing_else(house: House) -> None:
    result = house.restore()
    assert house.path.read_bytes() == house.expected()
    assert result.changed
    used = sum(end - start for _, _, used in PARTS for start, end in used)
    assert result.written == used + MIB + 4 * MIB


def test_marks_first_table_last(house: House) -> None:
    house.restore()
    assert house.writes[0] == (0, 512)
    assert house.writes[-1] == (0, 512)
    assert house.writes[-2] == (512, MIB - 512)
    assert all(offset >= MIB for offset, _ in house.writes[1:-2])


def test_nothing_to_do_writes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.restore()
    house.writes.clear()
    real = os.open

    def no_writing(path: Any, flags: int, *rest: Any) -> int:
        assert Path(path) != house.path or flags & os.O_ACCMODE == os.O_RDONLY
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", no_writing)
    for mode in ("restore", "dry-run", "compare"):
        assert not house.restore(mode).changed  # type: ignore[arg-type]
    assert house.writes == []


@pytest.mark.parametrize("mode", ["dry-run", "compare"])
def test_looking_writes_nothing(house: House, mode: Mode) -> None:
    result = house.restore(mode)
    assert result.changed
    assert (result.written, house.writes) == (0, [])
    assert house.path.read_bytes() == house.old
    parts = {each.partition: each.differing_cells for each in result.disks[0].partitions}
    assert parts == {"boot": 1, "1": 6, "2": 1}


def test_one_cell(house: House) -> None:
    house.restore()
    house.writes.clear()
    with house.path.open("r+b") as file:
        file.seek(MIB + 2 * MIB + 5)
        file.write(b"x")
    result = house.restore()
    assert (result.cells.written, result.cells.same) == (1, result.cells.total - 1)
    assert house.writes == [(0, 512), (3 * MIB, MIB), (0, 512)]
    assert house.path.read_bytes() == house.expected()


@pytest.mark.parametrize("mode", ["restore", "dry-run"])
def test_a_broken_chunk_is_found_before_the_first_write(house: House, mode: Mode) -> None:
    digest = list(house.manifest.digests())[3]
    house.store.chunks[digest] = house.store.chunks[digest][:-1]
    with pytest.raises(ImageDamaged, match=digest):
        house.restore(mode)
    del house.store.chunks[digest]
    with pytest.raises(ImageDamaged, match=f"{digest} is missing"):
        house.restore(mode)
    assert house.path.read_bytes() == house.old


def test_a_chunk_of_another_size_is_no_content(house: House) -> None:
    """A sound chunk under its right name, but not one that fits its cell."""
    short = b"short"
    house.store.chunks[digest_of(short)] = make_frame(short)
    disk = house.manifest.disks[0]
    wrong = replace(disk.segments[2], digests=bytes.fromhex(digest_of(short)))
    disk = replace(disk, segments=(*disk.segments[:2], wrong))
    house.manifest = replace(house.manifest, disks=(disk,))
    with pytest.raises(ImageDamaged, match="it has 5 bytes"):
        house.restore()
    assert house.path.read_bytes() == house.old


def test_store_lost_half_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk can't boot, the message says so, and the next restore finishes."""
    real, fetched = house.store.get, []

    def failing(digest: str) -> bytes:
        fetched.append(digest)
        # All chunks are proven once, then the table is fetched, then the data.
        if len(fetched) > len(set(house.manifest.digests())) + 4:
            raise StoreRefused("the session has ended")
        return real(digest)

    monkeypatch.setattr(house.store, "get", failing)
    with pytest.raises(StoreRefused, match="half restored and can't boot"):
        house.restore()
    assert house.path.read_bytes()[:512] == bytes(512)
    monkeypatch.setattr(house.store, "get", real)
    house.restore()
    assert house.path.read_bytes() == house.expected()


def test_gpt_marks_of_the_old_table(house: House) -> None:
    """Both headers are cleared at the first write, and stay so when the image has no GPT."""
    with house.path.open("r+b") as file:
        for offset in (512, SIZE - 512):
            file.seek(offset)
            file.write(b"EFI PART")
    house.restore()
    assert {(512, 512), (SIZE - 512, 512)} <= set(house.writes[:3])
    assert house.path.read_bytes()[-512:] == bytes(512)


def test_partition_data_that_looks_like_a_mark_is_left_alone(
    tmp_path: Path, image_maker: Maker
) -> None:
    content = bytes(SIZE - 512) + b"EFI PART" + bytes(504)
    manifest, chunks = image_maker(content, [(MIB, SIZE - MIB, [(SIZE - 2 * MIB, SIZE - MIB)])])
    store, path = MemoryStore(), tmp_path / "disk"
    store.chunks = chunks
    path.write_bytes(b"\1" * (SIZE - 512) + b"EFI PART" + bytes(504))
    pair = Pair(manifest.disks[0], find_disk(path))
    restore(manifest, [pair], store, Meter(), "restore")
    assert path.read_bytes()[-512:] == content[-512:]


@pytest.mark.parametrize("matching", [False, True])
def test_comparing_is_given_up_when_nothing_matches(
    matching: bool, tmp_path: Path, image_maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four samples of sixteen cells tell that the target has nothing in common."""
    content = random.Random(2).randbytes(17 * MIB)
    manifest, chunks = image_maker(content, [(MIB, 16 * MIB, [(0, 16 * MIB)])])
    store, path = MemoryStore(), tmp_path / "disk"
    store.chunks = chunks
    path.write_bytes(content[: 9 * MIB] + bytes(8 * MIB) if matching else bytes(17 * MIB))
    reads: list[int] = []
    real = restore_work.read_cell

    def spy(handle: int, buffer: memoryview, offset: int, runs: list[tuple[int, int]]) -> None:
        reads.append(offset)
        real(handle, buffer, offset, runs)

    monkeypatch.setattr(restore_work, "read_cell", spy)
    monkeypatch.setattr(restore_work, "_SAMPLE", 4)
    pair = Pair(manifest.disks[0], find_disk(path))
    restore(manifest, [pair], store, Meter(), "restore", threads=1)
    assert path.read_bytes() == content
    assert (len(reads) >= 16) is matching
    assert matching or len(reads) == 4
