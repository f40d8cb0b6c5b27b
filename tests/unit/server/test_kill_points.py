# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that dies before any single system call of a PUT or a publish leaves a whole store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slipway.format.frames import check_frame, digest_of, make_frame
from slipway_server.base import files
from slipway_server.images import copies
from slipway_server.images.images import Images
from slipway_server.images.memory import Memory
from slipway_server.images.offer import Offer
from slipway_server.images.store import ChunkStore
from slipway_server.images.sync_marks import SyncMarks
from slipway_server.images.trash import Deletion

from .conftest import cell, manifest_of

CALLS = ("open", "write", "fsync", "close", "rename", "link", "unlink", "mkdir")
OLD, NEW = "20260101T000000Z", "20260102T000000Z"
CONTENTS = (cell("first"), cell("second"))


def open_images(folder: Path) -> tuple[ChunkStore, Images]:
    """The store as a starting service opens it."""
    folder.mkdir(exist_ok=True)
    memory = Memory(folder / "memory.sqlite3")
    marks = SyncMarks(folder / "store/unsynced", "boot")
    store = ChunkStore(folder / "store", 0, marks, memory.is_bad)
    return store, Images(store, memory)


def dies_at(point: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its system call number ``point``."""
    child = os.fork()
    if child == 0:
        left = point

        def lethal(real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return real(*arguments, **options)

            return call

        for name in CALLS:
            setattr(os, name, lethal(getattr(os, name)))
        files.sync_file_system = lethal(files.sync_file_system)  # type: ignore[assignment]
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


Work = Callable[[ChunkStore, Images], object]


def nothing(_: ChunkStore, __: Images) -> None:
    """An empty store."""


def points(folder: Path, work: Work, before: Work = nothing) -> Iterator[Path]:
    """Stores that are alike, each with the work cut off one system call later, until it was not."""
    whole = folder / "before"
    before(*open_images(whole))
    for point in range(200):
        place = folder / str(point)
        shutil.copytree(whole, place)
        store, images = open_images(place)
        if not dies_at(point, lambda store=store, images=images: work(store, images)):  # type: ignore[misc]
            assert point > 5
            return
        yield place
    raise AssertionError("the work never ends")


def put_all(store: ChunkStore) -> None:
    for content in CONTENTS:
        store.put(digest_of(content), make_frame(content))


def publish(images: Images, name: str, version: str) -> None:
    """As the service does with what a client has sent."""
    with tempfile.TemporaryFile(buffering=0) as body:
        body.write(manifest_of(name, *CONTENTS))
        with Offer(body, 1 << 20) as offer:
            images.publish(offer, version)


def assert_whole(store: ChunkStore, images: Images) -> None:
    """No leftovers, every named chunk is sound, every listed version is complete."""
    assert list(store.tmp.iterdir()) == []
    for path in (store.root / "chunks").rglob("*"):
        if path.is_file():
            check_frame(path.name, path.read_bytes())
    for name in images.names():
        for version in images.versions(name):
            assert store.missing(images.manifest(name, version).digests()) == []


def test_put_dies_anywhere(tmp_path: Path) -> None:
    digest, frame = digest_of(CONTENTS[0]), make_frame(CONTENTS[0])

    outcomes = set()
    for place in points(tmp_path, lambda store, _: store.put(digest, frame)):
        store, images = open_images(place)
        assert_whole(store, images)
        outcomes.add(store.put(digest, frame))
        assert store.missing([digest]) == []
    assert True in outcomes


@pytest.mark.parametrize("name", ["known", "new"])
def test_publish_dies_anywhere(tmp_path: Path, name: str) -> None:
    def before(store: ChunkStore, images: Images) -> None:
        put_all(store)
        publish(images, "known", OLD)

    there = set()
    for place in points(tmp_path, lambda _, images: publish(images, name, NEW), before):
        store, images = open_images(place)
        assert_whole(store, images)
        assert OLD in images.versions("known")
        there.add(NEW in images.versions(name))
        publish(images, name, NEW)
        assert NEW in images.versions(name)
        assert images.manifest("known", OLD).version == OLD
    assert there == {False, True}


def move_all(images: Images, to: str) -> None:
    """As the service renames an image: a copy, then the old one goes to the trash."""
    if versions := images.versions("known"):
        copies.copy(images, "known", versions, to)
    for version in versions:
        deletion = Deletion(1.0, "root", f"renamed to {to}")
        images.trash.take(images.path("known", version), "known", version, deletion)


def test_rename_and_copy_die_anywhere(tmp_path: Path) -> None:
    def before(store: ChunkStore, images: Images) -> None:
        put_all(store)
        for version in (OLD, NEW):
            publish(images, "known", version)

    there = set()
    for place in points(tmp_path, lambda _, images: move_all(images, "new"), before):
        store, images = open_images(place)
        assert_whole(store, images)
        # The new one is there with all of its versions or not at all, and nothing is nowhere.
        new, old, gone = (
            images.versions("new"),
            images.versions("known"),
            images.trash.versions("known"),
        )
        assert new in ([], [OLD, NEW])
        assert sorted({*old, *gone}) == [OLD, NEW]
        assert new or not gone
        there.add((len(new), len(old)))
        move_all(images, "new")
        assert images.versions("new") == images.trash.versions("known") == [OLD, NEW]
        assert images.manifest("new", OLD).name == "new"
        assert_whole(store, images)
    assert {(0, 2), (2, 2), (2, 1)} <= there


def test_taking_back_dies_anywhere(tmp_path: Path) -> None:
    def before(store: ChunkStore, images: Images) -> None:
        put_all(store)
        publish(images, "known", OLD)
        images.trash.take(images.path("known", OLD), "known", OLD, Deletion(1.0, "root"))

    def work(_: ChunkStore, images: Images) -> None:
        images.trash.give_back("known", OLD, images.path("known", OLD))

    for place in points(tmp_path, work, before):
        _, images = open_images(place)
        assert [OLD] in (images.versions("known"), images.trash.versions("known"))
        if images.trash.versions("known"):
            images.trash.give_back("known", OLD, images.path("known", OLD))
        assert (images.versions("known"), images.trash.versions("known")) == ([OLD], [])
