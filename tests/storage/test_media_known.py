# SPDX-License-Identifier: GPL-3.0-or-later
"""Media of images that the control service keeps: what it proved lately is not unpacked again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.folder_store import FolderStore
from slipway_media import media_set
from slipway_media.errors import MediaError
from slipway_media.iso import Chunk
from slipway_media.plan import Order, Plan, make_plan

from ..unit.server.both_ends import Server, serving
from .disk_builder import sha256
from .media_sets import BUILDER, build, command, environment, files, flip, run
from .test_pulling import NOBODY, saved

MEDIUM = 42_000_000


@dataclass
class Place:
    """An image server with an image that an agent has saved there, and where its media go."""

    server: Server
    room: Path
    env: Path

    @property
    def store(self) -> Path:
        return self.server.service.store

    @property
    def socket(self) -> Path:
        return self.server.service.folder / "maker"

    @property
    def chunks(self) -> list[Path]:
        return sorted((self.store / "chunks").rglob("?" * 64))

    def words(self, socket: Path | None, name: str = "pc") -> list[object]:
        words: list[object] = ["--image", "pc", "--medium", MEDIUM, "--name", name]
        return words + (["--socket", socket] if socket else [])

    def made(self, folder: str, socket: Path | None) -> list[str]:
        """Make the set into a folder of its own; the digests of its discs."""
        place = self.room / folder
        return [
            sha256(each)
            for each in files(build(self.store, self.env, place, *self.words(socket)), place)
        ]

    def refused(self, folder: str, socket: Path | None) -> str:
        done = run(self.store, self.env, self.room / folder, *self.words(socket))
        assert done.returncode == 1, done.stderr
        assert not list((self.room / folder).glob("pc*"))
        return str(done.stderr)

    def check(self) -> None:
        admin = self.server.service.admin
        [image] = admin.get("/v1/images").json()["images"]
        [version] = image["versions"]
        answer = admin.post(f"/v1/images/pc/{version['version']}/check")
        assert answer.json()["state"] == "sound"

    def plan(self) -> Plan:
        order = Order(self.store, self.env, "pc", str(MEDIUM))
        (self.room / "work").mkdir()
        return make_plan(order, self.room / "work")


@pytest.fixture
def place(room: Path) -> Iterator[Place]:
    folder = room / "server"
    folder.mkdir()
    with serving(folder) as server:
        saved(server, room, 40)
        yield Place(server, room, environment(room / "env"))


def rot(path: Path) -> None:
    """A byte flips on the disk: nothing of the file's facts says so, only unpacking does."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("checked", [False, True])
def test_the_same_discs_and_nothing_is_unpacked(place: Place, checked: bool) -> None:
    """Of an image that has just come, and of one that was checked."""
    if checked:
        place.server.service.stop()
        for file in place.server.service.state.glob("memory.sqlite3*"):
            file.unlink()
        place.server.service.start()
        place.check()
    plain = place.made("plain", None)
    assert len(plain) == 2
    assert place.made("known", place.socket) == plain
    for chunk in place.chunks:
        rot(chunk)
    assert "can't be put on media" in place.refused("unpacked", None)
    assert len(place.made("believed", place.socket)) == 2


def test_what_changed_since_is_proven_and_refused(place: Place) -> None:
    flip(place.chunks[3])
    assert "can't be put on media" in place.refused("changed", place.socket)


def test_without_an_answer_everything_is_proven(place: Place) -> None:
    rot(place.chunks[3])
    service = place.server.service
    # Another door of the service knows nothing of this; nor does one that hangs, or is gone.
    assert "can't be put on media" in place.refused("other", service.folder / "admin")
    service.stop()
    assert "can't be put on media" in place.refused("gone", place.socket)
    place.socket.unlink()
    assert "can't be put on media" in place.refused("missing", place.socket)


def test_what_changes_while_it_is_read_is_proven(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = place.plan()
    prove = media_set._prover(plan, place.socket)
    one, two = plan.chunks[2:4]
    get, left = FolderStore.get, [one.digest]

    def reads(store: FolderStore, digest: str) -> bytes:
        """Another process writes between the look at the file and the read."""
        if digest in left:
            left.remove(digest)
            flip(one.source)
        return get(store, digest)

    monkeypatch.setattr(FolderStore, "get", reads)
    with pytest.raises(MediaError, match=one.digest):
        prove(one)
    assert prove(two) == two.source.read_bytes()


def test_a_known_chunk_is_read_once_and_not_unpacked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, unpacked = place.plan(), list[str]()
    fetch = media_set.fetch_chunk

    def counts(store: Any, digest: str, size: int, buffer: memoryview) -> Any:
        unpacked.append(digest)
        return fetch(store, digest, size, buffer)

    monkeypatch.setattr(media_set, "fetch_chunk", counts)
    chunk: Chunk = plan.chunks[5]
    chunk.source.touch()
    prove = media_set._prover(plan, place.socket)
    assert [prove(each) for each in plan.chunks] == [
        each.source.read_bytes() for each in plan.chunks
    ]
    assert unpacked == [chunk.digest]


def test_who_makes_media_on_a_server_reaches_the_socket_and_no_other(place: Place) -> None:
    """As its unit has it: another user, the group of the service, no network, a disk to read."""
    group, media = 54321, place.room / "media"
    service = place.server.service
    for folder in (place.room, *place.room.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)
    for path in (place.store, *place.store.rglob("*")):
        os.chown(path, -1, group)
    place.store.chmod(0o750)
    os.chown(place.socket, 0, group)
    assert place.socket.stat().st_mode & 0o777 == 0o660
    media.mkdir()
    os.chown(media, NOBODY, NOBODY)
    for chunk in place.chunks:
        rot(chunk)
    inside = 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$@"'
    inside = f"mount --bind {media} {media} && {inside}"
    program = ["unshare", "--net", "--mount", "sh", "-ec", inside, "sh"]
    program += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", f"--groups={group}"]
    program += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]

    def work(socket: Path) -> subprocess.CompletedProcess[str]:
        words = command(place.store, place.env, media, *place.words(socket))
        environment = os.environ | BUILDER | {"TMPDIR": str(media)}
        return subprocess.run([*program, *words], env=environment, capture_output=True, text=True)

    done = work(service.folder / "admin")
    assert done.returncode == 1 and "can't be put on media" in done.stderr, done.stderr
    done = work(place.socket)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["discs"]) == 2
