# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks: what gets a name, what never does, and what a full or failing store says."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from slipway.format.frames import MAX_CELL, MAX_FRAME, digest_of, make_frame
from slipway_server.base import files
from slipway_server.base.errors import ServiceError
from slipway_server.images.store import ChunkStore
from slipway_server.images.sync_marks import SyncMarks

from .conftest import Machine, Service, cell

CONTENT = b"content" * 1000
DIGEST = digest_of(CONTENT)
FRAME = make_frame(CONTENT)


def without_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


def bomb(size: int) -> bytes:
    return zstandard.compress(bytes(size))


@pytest.fixture(scope="module")
def pc(service: Service) -> Machine:
    return service.machine()


def put(pc: Machine, digest: str, frame: Any) -> tuple[int, str]:
    answer = pc.request("PUT", f"/v1/chunks/{digest}", content=frame)
    return answer.status_code, answer.json().get("error", "")


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (make_frame(b"something else"), (400, "wrong_content")),
        (FRAME + b"x", (400, "wrong_content")),
        (FRAME + FRAME, (400, "wrong_content")),
        (FRAME + make_frame(b""), (400, "wrong_content")),
        (without_size(CONTENT), (400, "wrong_content")),
        (FRAME[:-1], (400, "wrong_content")),
        (FRAME[:20], (400, "wrong_content")),
        (CONTENT, (400, "wrong_content")),
        (b"", (400, "wrong_content")),
        (bomb(MAX_CELL + 1), (413, "too_long")),
        (bomb(1 << 30), (413, "too_long")),
        (os.urandom(MAX_FRAME + 1), (413, "too_long")),
    ],
)
def test_what_is_not_its_name_gets_none(
    service: Service, pc: Machine, frame: bytes, refusal: tuple[int, str]
) -> None:
    assert put(pc, DIGEST, frame) == refusal
    assert not (service.store / "chunks" / DIGEST[:2] / DIGEST[2:4] / DIGEST).exists()
    assert list((service.store / "tmp").iterdir()) == []
    query = pc.request("POST", "/v1/chunks/query", json={"digests": [DIGEST]})
    assert query.json() == {"missing": [DIGEST]}


def test_a_long_body_without_a_declared_length_is_cut_off(pc: Machine) -> None:
    assert put(pc, DIGEST, (bytes(65536) for _ in range(80))) == (413, "too_long")


@pytest.mark.parametrize("digest", ["../../etc/passwd", "0" * 63, "A" * 64, "0" * 65, "..", "%2e"])
def test_names_that_are_no_digest(service: Service, pc: Machine, digest: str) -> None:
    assert put(pc, digest, FRAME)[0] in (404, 405, 422)
    assert pc.request("POST", "/v1/chunks/query", json={"digests": [digest]}).status_code == 422


def test_a_chunk_is_kept_once_as_the_frame_it_came_in(service: Service, pc: Machine) -> None:
    content = cell("kept once")
    digest, frame = digest_of(content), make_frame(content)
    assert put(pc, digest, frame) == (201, "")
    assert put(pc, digest, frame) == (200, "")
    path = service.chunk_path(content)
    assert path.read_bytes() == frame
    assert path.stat().st_mode & 0o007 == 0
    query = pc.request("POST", "/v1/chunks/query", json={"digests": [digest, DIGEST]})
    assert query.json() == {"missing": [DIGEST]}


def test_a_query_is_bounded(pc: Machine) -> None:
    answer = pc.request("POST", "/v1/chunks/query", json={"digests": [DIGEST] * 4097})
    assert answer.status_code == 422


def test_chunks_may_come_at_the_same_time(service: Service, pc: Machine) -> None:
    contents = [os.urandom(64) * 32768 for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        digests = list(pool.map(pc.put, contents * 2))
    assert [service.chunk_path(content).name for content in contents * 2] == digests
    assert list((service.store / "tmp").iterdir()) == []


def test_a_full_store_says_so_and_keeps_nothing(own_service: Callable[..., Service]) -> None:
    service = own_service(store_reserve_bytes=1 << 60)
    pc = service.machine()
    answer = pc.request("PUT", f"/v1/chunks/{DIGEST}", content=FRAME)
    assert (answer.status_code, answer.json()["error"]) == (507, "store_full")
    assert "sends only what is missing" in answer.json()["remedy"]
    assert [path for path in service.store.rglob("*") if path.is_file()] == []


def open_store(folder: Path, boot: str = "boot") -> ChunkStore:
    """The store as a service opens it that starts in that boot of the kernel."""
    marks = SyncMarks(folder / "store/unsynced", boot)
    return ChunkStore(folder / "store", 0, marks, lambda *_: False)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return open_store(tmp_path)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, "store_full"), (errno.EIO, "store_failed")]
)
def test_a_write_that_fails_half_way_leaves_nothing(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch, number: int, error: str
) -> None:
    real = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) < len(FRAME):
            raise OSError(number, os.strerror(number))
        return real(handle, data[:10])

    monkeypatch.setattr(files.os, "write", half)
    with pytest.raises(ServiceError) as caught:
        store.put(DIGEST, FRAME)
    assert caught.value.error == error
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_leftovers_of_a_killed_process_are_removed(store: ChunkStore, tmp_path: Path) -> None:
    store.put(DIGEST, FRAME)
    (store.tmp / "leftover").write_bytes(b"half a frame")
    again = open_store(tmp_path)
    assert list(again.tmp.iterdir()) == []
    assert again.missing([DIGEST]) == []


CLOCKS = (-10 * 365 * 86400.0, -90.0, 0.0, 90.0, 10 * 365 * 86400.0)


@pytest.mark.parametrize("jump", CLOCKS)
@pytest.mark.parametrize("synced_before", [False, True])
def test_after_a_boot_unsynced_chunks_are_read_before_they_count(
    tmp_path: Path, jump: float, synced_before: bool
) -> None:
    """Wherever the clock stood when they were written: before or after the last sync, or now."""
    first = open_store(tmp_path, "one")
    if synced_before:
        first.put(digest_of(b"earlier"), make_frame(b"earlier"))
        first.sync()
    first.put(DIGEST, FRAME)
    first.put(digest_of(b"other"), make_frame(b"other"))
    os.truncate(first.path(DIGEST), 10)
    moment = time.time() + jump
    for digest in (DIGEST, digest_of(b"other")):
        os.utime(first.path(digest), (moment, moment))
    # The process died, the kernel did not: what was named is there.
    assert open_store(tmp_path, "one").missing([DIGEST]) == []
    # The kernel died, too: the file has its name but lost its content.
    rebooted = open_store(tmp_path, "two")
    assert rebooted.missing([DIGEST, digest_of(b"other")]) == [DIGEST]
    # That it is a suspect outlives the service, not only this start of it.
    assert open_store(tmp_path, "two").missing([DIGEST]) == [DIGEST]
    assert rebooted.put(DIGEST, FRAME)
    assert rebooted.missing([DIGEST]) == []
    rebooted.sync()
    assert open_store(tmp_path, "three").missing([DIGEST, digest_of(b"other")]) == []
    assert [path for path in (tmp_path / "store/unsynced").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("jump", CLOCKS)
def test_synced_chunks_are_trusted_after_a_boot(tmp_path: Path, jump: float) -> None:
    first = open_store(tmp_path, "one")
    first.put(DIGEST, FRAME)
    assert first.dirty
    first.sync()
    assert not first.dirty
    moment = time.time() + jump
    os.utime(first.path(DIGEST), (moment, moment))
    # Trusted means not read: what a disk does to it later is the checks' business.
    os.truncate(first.path(DIGEST), 10)
    assert open_store(tmp_path, "two").missing([DIGEST]) == []


def test_a_chunk_that_is_named_while_a_sync_runs_keeps_its_mark(tmp_path: Path) -> None:
    marks = SyncMarks(tmp_path / "unsynced", "one")
    with marks.naming("a"):
        pass
    covered = marks.begin()
    for digest in ("a", "b"):
        with marks.naming(digest):
            pass
    marks.synced(covered)
    rebooted = SyncMarks(tmp_path / "unsynced", "two")
    assert [rebooted.suspect(digest) for digest in "abc"] == [True, True, False]


def test_a_failed_sync_makes_suspects_of_what_it_was_to_cover(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(DIGEST, FRAME)

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_file_system", fails)
        with pytest.raises(ServiceError):
            store.sync()
    os.truncate(store.path(DIGEST), 10)
    assert store.missing([DIGEST]) == [DIGEST]
    assert open_store(tmp_path).missing([DIGEST]) == [DIGEST], "a restart forgets no suspect"
    assert store.put(DIGEST, FRAME)
    assert store.missing([DIGEST]) == []
