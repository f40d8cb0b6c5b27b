"""Single partitions and read-back, with a store in memory and a file as the disk."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from slipway.engine import cells, target
from slipway.engine import restore as engine_restore
from slipway.engine.devices import find_disk
from slipway.engine.errors import DeviceError, StoreRefused, UsageError
from slipway.engine.match import Pair, match_disks
from slipway.engine.memory_store import MemoryStore
from slipway.engine.progress import Meter
from slipway.engine.restore import restore
from slipway.engine.result import Result
from slipway.engine.selection import select, select_disks
from slipway.format import Manifest, Table, TablePartition

MIB = 1 << 20
SIZE = 24 * MIB
PARTS = [(MIB, 10 * MIB, [(0, 8 * MIB)]), (12 * MIB, 8 * MIB, [(0, MIB)])]
OLD = bytes([0xA5]) * 510 + b"\x55\xaa" + bytes([0xA5]) * (SIZE - 512)
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


class House:
    """An image of two partitions, its store, a target, and what was written where."""

    def __init__(self, path: Path, make: Maker) -> None:
        self.content = random.Random(1).randbytes(SIZE)
        self.manifest, chunks = make(self.content, PARTS)
        self.store = MemoryStore()
        self.store.chunks = chunks
        self.path = path
        path.write_bytes(OLD)
        self.writes: list[tuple[int, int]] = []
        self.lies: set[int] = set()

    def restore(self, *partitions: str, read_back: bool = False) -> Result:
        manifest = select(self.manifest, partitions)
        pair = Pair(manifest.disks[0], find_disk(self.path))
        return restore(
            manifest, [pair], self.store, Meter(), "restore", threads=1, read_back=read_back
        )


@pytest.fixture
def house(tmp_path: Path, image_maker: Maker, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path / "disk", image_maker)
    real = cells.write_at

    def write(handle: int, content: memoryview, offset: int) -> None:
        house.writes.append((offset, len(content)))
        if offset in house.lies:
            # A disk that says "done" and keeps something else.
            content = memoryview(bytes([content[0] ^ 1]) + bytes(content[1:]))
        real(handle, content, offset)

    lines = tuple(
        TablePartition(number + 1, offset // 512, size // 512, "83")
        for number, (offset, size, _) in enumerate(PARTS)
    )
    table = Table("dos", partitions=lines)
    monkeypatch.setattr(engine_restore, "table_of", lambda disk: table)
    monkeypatch.setattr(cells, "write_at", write)
    monkeypatch.setattr(target, "write_at", write)
    return house


def test_the_head_goes_first_and_last(house: House) -> None:
    house.restore("1")
    assert house.writes[0] == (MIB, MIB)
    assert house.writes[-1] == (MIB, MIB)
    assert {offset for offset, _ in house.writes[1:-1]} == {n * MIB for n in [*range(2, 9), 10]}
    data = house.path.read_bytes()
    assert data[: 9 * MIB] == OLD[:MIB] + house.content[MIB : 9 * MIB]
    # Its last MiB, which is free, keeps no mark of another system.
    assert data[9 * MIB :] == OLD[9 * MIB : 10 * MIB] + bytes(MIB) + OLD[11 * MIB :]
    house.writes.clear()
    assert house.restore("1").changed is False
    assert house.writes == []


def test_a_store_lost_half_way_leaves_no_file_system(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partition's head is zero, the table and the other partition are untouched."""
    real, fetched = house.store.get, []

    def failing(digest: str) -> bytes:
        fetched.append(digest)
        # Each of its eight chunks is proven before the data is fetched.
        if len(fetched) > 8 + 3:
            raise StoreRefused("the session has ended")
        return real(digest)

    monkeypatch.setattr(house.store, "get", failing)
    with pytest.raises(StoreRefused, match=r"partition 1 of .* may be half restored"):
        house.restore("1")
    data = house.path.read_bytes()
    assert data[:MIB] == OLD[:MIB]
    assert data[MIB : 2 * MIB] == bytes(MIB)
    assert data[9 * MIB :] == OLD[9 * MIB :]
    monkeypatch.setattr(house.store, "get", real)
    house.restore("1")
    assert house.path.read_bytes()[MIB : 9 * MIB] == house.content[MIB : 9 * MIB]


@pytest.mark.parametrize("lie", [MIB, 5 * MIB])
@pytest.mark.parametrize("partitions", [(), ("1",)])
def test_a_disk_that_keeps_other_bytes(lie: int, partitions: tuple[str, ...], house: House) -> None:
    """It is found before the disk may boot; without reading back nobody would know."""
    house.lies = {lie}
    house.restore(*partitions)
    house.path.write_bytes(OLD)
    with pytest.raises(DeviceError, match="does not hold what was written") as error:
        house.restore(*partitions, read_back=True)
    assert "half restored" in error.value.message
    if not partitions:
        assert house.path.read_bytes()[:512] == bytes(512)
    house.lies = set()
    assert house.restore(*partitions, read_back=True).changed is True


def test_a_table_that_is_not_kept_is_cleared_again(house: House) -> None:
    house.lies = {512}
    with pytest.raises(DeviceError, match="does not hold what was written"):
        house.restore(read_back=True)
    assert house.path.read_bytes()[:512] == bytes(512)


def test_reading_back_counts_everything_twice(house: House) -> None:
    records = []
    pair = Pair(house.manifest.disks[0], find_disk(house.path))
    restore(house.manifest, [pair], house.store, Meter(records.append), "restore", read_back=True)
    last = records[-1]
    assert (last.phase, last.done) == ("restore", last.total)
    assert last.total == 2 * house.manifest.used_bytes


def test_one_disk_of_several_when_the_other_is_gone(house: House) -> None:
    first = house.manifest.disks[0]
    both = replace(house.manifest, disks=(first, replace(first, id="disk1")))
    assert select_disks(both, ()) is both
    assert [disk.id for disk in select_disks(both, ("disk1",)).disks] == ["disk1"]
    with pytest.raises(UsageError) as refused:
        select_disks(both, ("disk1", "disk2"))
    assert "disk2" in refused.value.message and "disk0, disk1" in refused.value.remedy
    # The other disk's target is not looked for.
    pairs = match_disks(select_disks(both, ("disk1",)), [], {"disk1": find_disk(house.path)}, False)
    assert [pair.image.id for pair in pairs] == ["disk1"]


def test_nothing_selected_is_the_whole_image(house: House) -> None:
    assert select(house.manifest, ()) is house.manifest
    chosen = select(replace(house.manifest), ("disk0:2",))
    assert [segment.id for segment in chosen.disks[0].segments] == ["2"]
