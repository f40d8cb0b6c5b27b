# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks were proven lately, for who makes media: by a read, or when they came."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from slipway.format.frames import digest_of, make_frame
from slipway_server.base import files
from slipway_server.base.errors import ServiceError
from slipway_server.images.memory import Memory, Read
from slipway_server.images.reads import read_through
from slipway_server.images.store import ChunkStore, Fingerprint
from slipway_server.images.sync_marks import SyncMarks

from .conftest import Service, cell

DAY = 86400.0
OTHER = "0" * 64


def known(service: Service, *contents: bytes) -> dict[str, dict[str, Any]]:
    """What the service says of chunks, by their digests."""
    digests = [digest_of(each) for each in contents]
    answer = service.maker.post("/v1/chunks/sound", json={"digests": [*digests, OTHER]})
    assert answer.status_code == 200, answer.text
    return {each.pop("digest"): each for each in answer.json()["sound"]}


def file_of(service: Service, content: bytes) -> dict[str, int]:
    found = service.chunk_path(content).stat()
    facts = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "ino": found.st_ino}
    return facts | {"content_size": len(content)}


def check(service: Service, name: str, version: str, state: str = "sound") -> None:
    answer = service.admin.post(f"/v1/images/{name}/{version}/check")
    assert answer.json()["state"] == state


def forget(service: Service, *tables: str) -> None:
    """Let the memory lose some of what it has."""
    with closing(sqlite3.connect(service.state / "memory.sqlite3")) as memory, memory:
        for table in tables:
            memory.execute(f"DELETE FROM {table}")


def test_what_a_check_read_is_known_as_the_file_that_it_read(
    own_service: Callable[..., Service],
) -> None:
    service, one, two = own_service(), cell("read one"), cell("read two")
    name, version = service.image(one, two)
    forget(service, "kept")
    assert known(service, one, two) == {}
    check(service, name, version)
    was = {digest_of(each): file_of(service, each) for each in (one, two)}
    assert known(service, one, two) == was
    # What becomes of the file later is for the one to see who relies on it.
    service.chunk_path(one).touch()
    assert known(service, one, two) == was != {digest_of(one): file_of(service, one)}
    service.restart(signal.SIGKILL)
    assert known(service, one, two) == was


def test_what_came_is_known_once_a_version_brought_it_to_the_disk(
    own_service: Callable[..., Service],
) -> None:
    service, content = own_service(), cell("came")
    pc = service.machine()
    pc.put(content)
    assert known(service, content) == {}
    answer = pc.publish(content)
    assert answer.status_code == 201
    was = {digest_of(content): file_of(service, content)}
    assert known(service, content) == was
    # A promise changes the time of access alone.
    other = service.machine(image=pc.name)
    assert other.request("POST", "/v1/chunks/query", json={"digests": [*was]}).json() == {
        "missing": []
    }
    assert known(service, content) == was
    # It is no read: a check has its own time, and a scrubber what to do.
    assert service.admin.get(f"/v1/images/{pc.name}").json()["versions"][0]["checked"] is None
    with closing(sqlite3.connect(service.state / "memory.sqlite3")) as memory:
        assert memory.execute("SELECT count(*) FROM reads").fetchone() == (0,)
    restore = service.machine("restore", image=pc.name, arrived=False)
    service.session(restore.session, wait=10, until="image_checked")
    with closing(sqlite3.connect(service.state / "memory.sqlite3")) as memory:
        assert memory.execute("SELECT count(*) FROM reads").fetchone() == (1,)


@pytest.mark.parametrize("came", [True, False])
def test_a_bad_chunk_is_not_known(own_service: Callable[..., Service], came: bool) -> None:
    service, content, sound = own_service(), cell("goes bad"), cell("stays good")
    name, version = service.image(content, sound)
    check(service, name, version)
    if not came:
        forget(service, "kept")
    service.flip(content)
    # Nobody has looked since; then somebody does.
    assert known(service, content, sound).keys() == {digest_of(content), digest_of(sound)}
    check(service, name, version, "broken")
    assert known(service, content, sound).keys() == {digest_of(sound)}
    service.restart()
    assert known(service, content, sound).keys() == {digest_of(sound)}
    # A backup brings it again, and a version brings it to the disk.
    service.image(content)
    assert known(service, content)[digest_of(content)] == file_of(service, content)


def test_what_was_long_ago_or_is_yet_to_come_is_not_known(
    own_service: Callable[..., Service],
) -> None:
    service, content = own_service(check_memory_days=2), cell("long ago")
    name, version = service.image(content)
    check(service, name, version)
    for days, there in ((-1.9, True), (-2.1, False), (0.1, False)):
        with closing(sqlite3.connect(service.state / "memory.sqlite3")) as memory, memory:
            for table in ("reads", "kept"):
                memory.execute(f"UPDATE {table} SET at = ?", (time.time() + days * DAY,))
        assert bool(known(service, content)) is there, days


def test_a_memory_that_is_lost_knows_nothing(own_service: Callable[..., Service]) -> None:
    service, content = own_service(), cell("lost memory")
    name, version = service.image(content)
    check(service, name, version)
    service.stop()
    for path in service.state.glob("memory.sqlite3*"):
        path.write_bytes(b"no database")
    service.start()
    assert known(service, content) == {}
    check(service, name, version)
    assert known(service, content)


def test_a_suspect_is_not_known(own_service: Callable[..., Service]) -> None:
    """The server's kernel died after the file was read and before it was on the disk."""
    service, content, sound = own_service(), cell("suspect"), cell("no suspect")
    name, version = service.image(content, sound)
    check(service, name, version)
    service.stop()
    service.suspect(content)
    service.start()
    assert known(service, content, sound).keys() == {digest_of(sound)}


def test_what_can_not_be_meant_is_refused_and_one_question_has_its_bound(service: Service) -> None:
    for body in ({}, {"digests": ["../x"]}, {"digests": [OTHER] * 4097}, {"digest": []}):
        answer = service.maker.post("/v1/chunks/sound", json=body)
        assert answer.status_code == 422, body
    answer = service.maker.post("/v1/chunks/sound", json={"digests": [OTHER] * 4096})
    assert answer.json() == {"sound": []}


def test_the_socket_is_for_the_services_user(service: Service) -> None:
    assert stat.S_IMODE((service.folder / "maker").stat().st_mode) == 0o660
    for door in ("http", "admin", "runner", "web", "teller", "puller", "metrics"):
        answer = getattr(service, door).post("/v1/chunks/sound", json={"digests": []})
        assert answer.status_code in (401, 404, 405), door


# --- the store and its memory --------------------------------------------------


def opened(folder: Path) -> tuple[ChunkStore, Memory]:
    memory = Memory(folder / "memory.sqlite3")
    marks = SyncMarks(folder / "unsynced", "boot")
    store = ChunkStore(folder / "store", 0, marks, memory.is_bad, memory.keep_key, memory.keep_kept)
    return store, memory


def sound(memory: Memory, contents: Iterable[bytes]) -> list[bool]:
    now = time.time()
    return [memory.sound(digest_of(each), now - DAY, now) is not None for each in contents]


def test_a_sync_that_fails_makes_nothing_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, memory = opened(tmp_path)
    one, two = b"covered by a failure", b"covered by the next"
    store.put(digest_of(one), make_frame(one))
    with monkeypatch.context() as broken:

        def fail(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        broken.setattr(files, "sync_file_system", fail)
        with pytest.raises(ServiceError):
            store.sync()
    store.put(digest_of(two), make_frame(two))
    store.sync()
    assert sound(memory, (one, two)) == [False, True]


def test_what_comes_while_a_sync_goes_on_is_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, memory = opened(tmp_path)
    one, two = b"before the sync", b"while it goes on"
    store.put(digest_of(one), make_frame(one))
    with monkeypatch.context() as slow:
        slow.setattr(
            files, "sync_file_system", lambda _: store.put(digest_of(two), make_frame(two))
        )
        store.sync()
    assert sound(memory, (one, two)) == [True, False]
    store.sync()
    assert sound(memory, (one, two)) == [True, True]


def test_what_was_removed_is_forgotten_and_a_read_comes_first(tmp_path: Path) -> None:
    store, memory = opened(tmp_path)
    content = b"read and kept"
    digest = digest_of(content)
    store.put(digest, make_frame(content))
    store.sync()
    found = store.fingerprint(digest)
    assert found is not None
    assert read_through(store, memory, [(digest, found, len(content))])[1] == []
    now = time.time()
    read = memory.sound(digest, now - DAY, now)
    assert read is not None and (read.fingerprint, read.content_size) == (found, len(content))
    memory.remember([Read(digest, Fingerprint(1, 2, 3), now, None)])
    # Another file was bad: that says nothing of the one that came.
    kept = memory.sound(digest, now - DAY, now)
    assert kept is not None and kept.fingerprint == found
    memory.forget([digest])
    assert sound(memory, [content]) == [False]
