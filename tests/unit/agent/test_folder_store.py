# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in a folder: a version exists wholly or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import ImageDamaged, NotFound, StoreFull, UsageError
from slipway.engine.folder_store import FolderStore
from slipway.engine.progress import Meter
from slipway.format import FormatError, ImageRef, Manifest, digest_of, make_frame, serialize

MIB = 1 << 20
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", create=True)


@pytest.fixture
def image(image_maker: Maker) -> tuple[Manifest, dict[str, bytes]]:
    return image_maker(os.urandom(6 * MIB), [(MIB, 4 * MIB, [(0, 3 * MIB)])])


def fill(store: FolderStore, chunks: dict[str, bytes]) -> None:
    for digest, frame in chunks.items():
        store.put(digest, frame)


def test_layout(store: FolderStore, image: tuple[Manifest, dict[str, bytes]]) -> None:
    manifest, chunks = image
    assert store.missing(list(chunks)) == set(chunks)
    fill(store, chunks)
    assert store.missing(list(chunks)) == set()
    published = store.publish(manifest)
    digest = min(chunks)
    path = store.root / "chunks" / digest[:2] / digest[2:4] / digest
    assert path.read_bytes() == chunks[digest]
    assert (store.root / "images/pc" / f"{published.version}.json").is_file()
    assert published.stored_bytes == sum(map(len, chunks.values()))
    read = store.manifest(ImageRef("pc"))
    assert (read.version, read.stored_bytes) == (published.version, published.stored_bytes)
    assert read.disks == manifest.disks
    assert store.prove(read, Meter()) == []


def test_versions_in_one_second(
    store: FolderStore, image: tuple[Manifest, dict[str, bytes]]
) -> None:
    manifest, chunks = image
    fill(store, chunks)
    versions = [store.publish(manifest).version for _ in range(4)]
    assert len(set(versions)) == 4
    [listed] = store.images()
    assert [each.version for each in listed.versions] == versions
    assert store.manifest(ImageRef("pc")).version == versions[-1]


def test_a_version_from_a_clock_that_was_ahead_is_followed(
    store: FolderStore, image: tuple[Manifest, dict[str, bytes]]
) -> None:
    manifest, chunks = image
    fill(store, chunks)
    first = store.publish(manifest)
    assert first.warning == ""
    folder = store.root / "images/pc"
    ahead = "20991231T235959Z"
    stamped = manifest.stamped(ahead, "2026-01-01T00:00:00Z", 1)
    (folder / f"{ahead}.json").write_bytes(serialize(stamped))
    published = store.publish(manifest)
    assert published.version == "21000101T000000Z"
    assert "a clock was ahead" in published.warning
    assert store.manifest(ImageRef("pc")).version == published.version
    [listed] = store.images()
    assert [each.ahead for each in listed.versions] == [False, True, True]


@pytest.mark.parametrize("jump", [-(10**9), 0, 10**9])
def test_only_what_a_run_wrote_itself_is_sound_without_reading(
    store: FolderStore, image: tuple[Manifest, dict[str, bytes]], jump: int
) -> None:
    """Whatever times the files have that were there before, from a clock that was set since."""
    manifest, chunks = image
    broken = max(chunks)
    fill(store, chunks)
    store.close()
    path = store.root / "chunks" / broken[:2] / broken[2:4] / broken
    path.write_bytes(b"broken long ago")
    for digest in chunks:
        path = store.root / "chunks" / digest[:2] / digest[2:4] / digest
        moment = path.stat().st_mtime + jump
        os.utime(path, (moment, moment))
    later = FolderStore(store.root)
    assert later.missing(list(chunks)) == set()
    # A run opens its own folder first of all that it writes.
    later.put(digest_of(b"more"), make_frame(b"more"))
    published = later.publish(manifest)
    problems = later.prove(later.manifest(ImageRef("pc", published.version)), Meter())
    assert [problem.digest for problem in problems] == [broken]


def test_unsynced_chunks_have_no_name(store: FolderStore) -> None:
    frame = make_frame(b"content")
    store.put(digest_of(b"content"), frame)
    assert list((store.root / "chunks").rglob("?" * 64)) == []
    store.close()
    assert len(list((store.root / "chunks").rglob("?" * 64))) == 1
    assert list((store.root / "tmp").iterdir()) == []


def test_missing_chunk_stops_publishing(
    store: FolderStore, image: tuple[Manifest, dict[str, bytes]]
) -> None:
    manifest, chunks = image
    lost = max(chunks)
    fill(store, {digest: frame for digest, frame in chunks.items() if digest != lost})
    with pytest.raises(ImageDamaged, match=lost):
        store.publish(manifest)
    assert store.images() == []
    with pytest.raises(NotFound):
        store.manifest(ImageRef("pc"))


@pytest.mark.parametrize("call", ["write_bytes", "mkdir"])
def test_full(
    call: str,
    store: FolderStore,
    image: tuple[Manifest, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, call, full)
    with pytest.raises(StoreFull):
        fill(store, image[1])


def test_other_runs_folders(store: FolderStore) -> None:
    """A dead run's folder goes; one that is in use or brand new stays."""
    other = FolderStore(store.root)
    other.put(digest_of(b"x"), make_frame(b"x"))
    [busy] = (store.root / "tmp").iterdir()
    fresh, dead = store.root / "tmp/run-1-fresh", store.root / "tmp/run-1-dead"
    for folder in (fresh, dead):
        folder.mkdir()
    for folder in (busy, dead):
        os.utime(folder, (1, 1))
    store.put(digest_of(b"y"), make_frame(b"y"))
    assert busy.exists()
    assert fresh.exists()
    assert not dead.exists()
    other.close()
    store.close()


def test_names_never_leave_the_store(store: FolderStore) -> None:
    for digest in ("../" + "0" * 61, "", "A" * 64):
        with pytest.raises(FormatError):
            store.get(digest)
        with pytest.raises(FormatError):
            store.missing([digest])
    with pytest.raises(FormatError):
        store.manifest(ImageRef("../x"))


def test_strange_files_are_no_images(store: FolderStore) -> None:
    (store.root / "images/x.txt").write_text("")
    (store.root / "images/pc").mkdir()
    (store.root / "images/pc/notes.json").write_text("")
    assert store.images() == []


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        FolderStore(tmp_path)


def test_a_version_that_goes_while_a_list_is_made_is_none(
    store: FolderStore,
    image: tuple[Manifest, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest, chunks = image
    fill(store, chunks)
    gone, stays = store.publish(manifest).version, store.publish(manifest).version
    listing = FolderStore._versions

    def versions(self: FolderStore, name: str) -> list[str]:
        found = listing(self, name)
        (self.root / "images" / name / f"{gone}.json").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(FolderStore, "_versions", versions)
    [listed] = store.images()
    assert [each.version for each in listed.versions] == [stays]
