"""Chunks: what gets a name, what never does, and what a full or failing store says."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from slipway.format.frames import MAX_CELL, MAX_FRAME, digest_of, make_frame
from slipway_server import files
from slipway_server.errors import ServiceError
from slipway_server.store import ChunkStore
from slipway_server.sync_marks import SyncMarks

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


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    marks = SyncMarks(tmp_path / "sync.json", "boot", 0.0)
    return ChunkStore(tmp_path / "store", 0, marks, lambda *_: False)


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
    marks = SyncMarks(tmp_path / "sync.json", "boot", 0.0)
    again = ChunkStore(store.root, 0, marks, lambda *_: False)
    assert list(again.tmp.iterdir()) == []
    assert again.missing([DIGEST]) == []


def test_after_a_boot_unsynced_chunks_are_read_before_they_count(tmp_path: Path) -> None:
    def open_store(boot: str, now: float) -> ChunkStore:
        marks = SyncMarks(tmp_path / "sync.json", boot, now)
        return ChunkStore(tmp_path / "store", 0, marks, lambda *_: False)

    other = make_frame(b"other")
    first = open_store("one", 1000.0)
    first.put(DIGEST, FRAME)
    first.put(digest_of(b"other"), other)
    os.truncate(first.path(DIGEST), 10)
    now = first.path(DIGEST).stat().st_mtime + 1
    # The process died, the kernel did not: what was named is there.
    assert open_store("one", now).missing([DIGEST]) == []
    # The kernel died, too: the file has its name but lost its content.
    rebooted = open_store("two", now)
    assert rebooted.missing([DIGEST, digest_of(b"other")]) == [DIGEST]
    assert rebooted.put(DIGEST, FRAME)
    assert rebooted.missing([DIGEST]) == []


def test_synced_chunks_are_trusted_after_a_boot(tmp_path: Path) -> None:
    marks = SyncMarks(tmp_path / "sync.json", "one", 1000.0)
    assert marks.suspect(500.0)
    marks.synced(5000.0)
    assert not SyncMarks(tmp_path / "sync.json", "one", 6000.0).suspect(5500.0)
    rebooted = SyncMarks(tmp_path / "sync.json", "two", 7000.0)
    assert rebooted.suspect(5500.0)
    assert not rebooted.suspect(3000.0)
    assert not rebooted.suspect(7001.0)
    for boot in range(20):
        rebooted = SyncMarks(tmp_path / "sync.json", f"b{boot}", 8000.0 + boot)
    assert rebooted.suspect(5500.0)


def test_a_lost_mark_makes_everything_suspect(tmp_path: Path) -> None:
    (tmp_path / "sync.json").write_text("{damaged")
    assert SyncMarks(tmp_path / "sync.json", "one", 1000.0).suspect(999.0)
