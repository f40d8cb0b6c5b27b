# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks a session may fetch is known from one reading of its manifest, however many work."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.manifest import Disk, Identity, Manifest, Segment, Table
from slipway_server.base.errors import ServiceError
from slipway_server.images.images import Images
from slipway_server.images.memory import Memory
from slipway_server.images.store import ChunkStore
from slipway_server.images.sync_marks import SyncMarks
from slipway_server.sessions.session import Session
from slipway_server.transfers.digest_sets import DigestSet, DigestSets

VERSION, LATER = "20260101T000000Z", "20260102T000000Z"
CELL = 1 << 20


class CountedImages(Images):
    """Counts how often a manifest is read."""

    reads = 0

    def manifest(self, name: str, version: str) -> Manifest:
        self.reads += 1
        return super().manifest(name, version)


def manifest(name: str, digests: bytes) -> bytes:
    count = len(digests) // 32
    used = Extents.whole(count * CELL)
    head = Segment("boot", 0, CELL, Extents.whole(CELL), digests[:32], content="table")
    size = (count - 1) * CELL
    part = Segment("partition", CELL, size, Extents.whole(size), digests[32:], 1, "ext4", "used")
    disk = Disk("disk0", Identity(), used.total, 512, 512, Table("dos"), (head, part))
    return serialize(Manifest(name, CELL, (disk,)))


@pytest.fixture
def images(tmp_path: Path) -> CountedImages:
    memory = Memory(tmp_path / "memory.sqlite3")
    marks = SyncMarks(tmp_path / "store/unsynced", "boot")
    store = ChunkStore(tmp_path / "store", 0, marks, memory.is_bad)
    return CountedImages(store, memory)


def add(images: Images, name: str, version: str = VERSION, count: int = 500) -> list[str]:
    digests = os.urandom(32 * count)
    path = images.path(name, version)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(manifest(name, digests))
    return [digests[start : start + 32].hex() for start in range(0, len(digests), 32)]


def session(number: int, image: str, verb: str = "restore", version: str = VERSION) -> Session:
    return Session(
        id=f"{number:016x}",
        machine=f"pc{number}",
        macs=(),
        verb=verb,
        image=image,
        version=version,
        created=0.0,
        ttl_seconds=60,
    )


def in_a_loop(images: Images, work: Callable[[DigestSets], Awaitable[None]]) -> None:
    async def run(call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, call)

    async def main() -> None:
        await work(DigestSets(images, run))

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 4, 5, 8, 40])
def test_each_manifest_is_read_once_however_many_are_restored(
    images: CountedImages, count: int
) -> None:
    """Four were remembered once: with five, every chunk cost the reading of a manifest."""
    known = {name: add(images, name) for name in (f"image{number}" for number in range(count))}
    sessions = [session(number, name) for number, name in enumerate(known)]

    async def work(sets: DigestSets) -> None:
        async def restore(item: Session) -> None:
            for digest in known[str(item.image)]:
                assert digest in await sets.of(item)
                await asyncio.sleep(0)

        await asyncio.gather(*(restore(item) for item in sessions))
        assert images.reads == count
        sets.keep(item.id for item in sessions[1:])
        assert len(sets) == count - 1
        sets.keep([])
        assert len(sets) == 0

    in_a_loop(images, work)


def test_a_room_that_restores_one_version_shares_it(images: CountedImages) -> None:
    digests = add(images, "lab")
    room = [session(number, "lab") for number in range(30)]

    async def work(sets: DigestSets) -> None:
        found = await asyncio.gather(*(sets.of(item) for item in room))
        assert len({id(each) for each in found}) == images.reads == 1
        assert len(found[0]) == len(digests)
        sets.keep(item.id for item in room[:1])
        assert len(sets) == 1

    in_a_loop(images, work)


def test_a_backup_has_all_versions_as_they_were_and_a_damaged_one_names_none(
    images: CountedImages,
) -> None:
    first, second = add(images, "pc"), add(images, "pc", LATER)
    images.path("pc", "20260103T000000Z").write_bytes(b"damaged")
    item = session(1, "pc", "backup")

    async def work(sets: DigestSets) -> None:
        own = await sets.of(item)
        assert all(digest in own for digest in first + second)
        third = add(images, "pc", "20260104T000000Z")
        assert third[0] not in await sets.of(item)
        assert third[0] in await sets.of(session(2, "pc", "backup"))

    in_a_loop(images, work)


def test_a_manifest_that_cannot_be_read_is_tried_again(images: CountedImages) -> None:
    digests = add(images, "pc")
    path = images.path("pc", VERSION)
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    item = session(1, "pc")

    async def work(sets: DigestSets) -> None:
        for _ in range(2):
            with pytest.raises(ServiceError, match="damaged"):
                await sets.of(item)
        path.write_bytes(good)
        assert digests[0] in await sets.of(item)

    in_a_loop(images, work)


def test_a_backups_first_question_does_not_wait_for_years_of_versions(
    images: CountedImages,
) -> None:
    digests = add(images, "pc", count=2)
    body = images.path("pc", VERSION).read_bytes()
    for number in range(3000):
        images.path("pc", f"2020{number:04}T000000Z").write_bytes(body)
    newer = add(images, "pc", LATER, count=2)

    async def work(sets: DigestSets) -> None:
        found = await sets.of(session(1, "pc", "backup"))
        assert all(digest in found for digest in (*newer, *digests))
        assert images.reads <= 10

    in_a_loop(images, work)


def test_reading_one_version_does_not_list_the_others(
    images: CountedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(images, "pc")
    with monkeypatch.context() as patch:
        patch.setattr(Images, "versions", lambda *_: pytest.fail("the folder was listed"))
        images.read("pc", VERSION)
    with pytest.raises(ServiceError, match="Image pc has no version"):
        images.read("pc", LATER)


def test_who_hangs_up_takes_nothing_from_the_others(images: CountedImages) -> None:
    digests = add(images, "pc")

    async def work(sets: DigestSets) -> None:
        asking = [asyncio.ensure_future(sets.of(session(number, "pc"))) for number in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        for each in asking[1:]:
            assert digests[0] in await each
        assert images.reads == 1

    in_a_loop(images, work)


def test_a_set_of_digests_holds_these_and_no_others() -> None:
    numbers = random.Random(1)
    digests = [numbers.randbytes(32) for _ in range(2000)] + [bytes(32), b"\xff" * 32]
    packed = DigestSet(digests * 2)
    assert len(packed) == len(digests)
    assert all(digest.hex() in packed for digest in digests)
    for digest in digests[:200]:
        near = (int.from_bytes(digest) ^ 1).to_bytes(32)
        assert near.hex() not in packed
    assert "00" * 32 not in DigestSet([])
    assert sys.getsizeof(packed._packed) < 33 * len(digests)
