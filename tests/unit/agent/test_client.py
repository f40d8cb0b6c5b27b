# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPS client and the store behind it, against a real TLS server."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import (
    ImageDamaged,
    NotFound,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    UsageError,
)
from slipway.engine.progress import Meter
from slipway.format import ImageRef, Manifest, digest_of, make_frame, serialize
from slipway.net import http_store
from slipway.net.client import Client
from slipway.net.http_store import HttpStore
from slipway.net.session import Reporter, Session

MIB = 1 << 20
VERSION = "20260101T000000Z"
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


def client(server: Any, **options: Any) -> Client:
    return Client(server.url, server.ca, "token-1", sleep=lambda pause: None, **options)


def test_token_and_body_arrive(server: Any) -> None:
    server.answer = lambda *_: (200, {"missing": ["a"]})
    store = HttpStore(client(server))
    assert store.missing(["a", "b"]) == {"a"}
    assert server.asked == [
        ("POST", "/v1/chunks/query", json.dumps({"digests": ["a", "b"]}).encode(), "Bearer token-1")
    ]


def test_questions_come_in_bundles(server: Any) -> None:
    server.answer = lambda method, path, body: (200, {"missing": json.loads(body)["digests"][:1]})
    wanted = [f"{number:064x}" for number in range(5000)]
    assert HttpStore(client(server)).missing(wanted) == {wanted[0], wanted[4096]}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 0])
def test_a_restarting_server_is_waited_for(server: Any, status: int) -> None:
    answers = [status, status, 200]
    server.answer = lambda *_: (answers.pop(0), {})
    assert client(server).request("GET", "/v1/session").status == 200
    assert answers == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, StoreRefused),
        (401, StoreRefused),
        (403, StoreRefused),
        (410, StoreRefused),
        (404, NotFound),
        (413, StoreRefused),
        (507, StoreFull),
    ],
)
def test_a_no_is_not_asked_again(server: Any, status: int, kind: type[Exception]) -> None:
    server.answer = lambda *_: (status, {"error": "x", "message": "words", "remedy": "deeds"})
    frame = make_frame(b"content")
    with pytest.raises(kind, match="words") as error:
        HttpStore(client(server)).put(digest_of(b"content"), frame)
    assert error.value.remedy == "deeds"  # type: ignore[attr-defined]
    assert len(server.asked) == 1


def test_patience_ends(server: Any) -> None:
    server.answer = lambda *_: (503, {"message": "store is being moved"})
    with pytest.raises(StoreUnreachable, match="store is being moved"):
        client(server, patience=0.2).request("GET", "/")
    assert len(server.asked) > 1


def test_nobody_there(certificates: Path) -> None:
    nobody = Client("https://127.0.0.1:1", certificates / "good.crt", patience=0)
    with pytest.raises(StoreUnreachable, match="did not answer"):
        nobody.request("GET", "/")


def test_other_certificate_authority(server: Any, certificates: Path) -> None:
    stranger = Client(server.url, certificates / "other.crt", "token-1")
    with pytest.raises(StoreUnreachable, match="pinned CA"):
        stranger.request("GET", "/")
    assert server.asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1", "https://", "img", "https://img/path"])
def test_refused_addresses(url: str, certificates: Path) -> None:
    with pytest.raises(UsageError):
        Client(url, certificates / "good.crt")


def test_connections_are_kept_per_thread(server: Any) -> None:
    server.answer = lambda *_: (200, {})
    shared, ports = client(server), set()

    def ask() -> None:
        for _ in range(3):
            shared.request("GET", "/")
            ports.add(shared._connections._own().sock.getsockname()[1])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ports) == 2


def test_connection_that_the_server_closed(server: Any) -> None:
    """An idle connection that is gone costs no patience."""
    server.answer = lambda *_: (200, {})
    impatient = client(server, patience=0)
    impatient.request("GET", "/")
    answers = [0, 200]
    server.answer = lambda *_: (answers.pop(0), {})
    assert impatient.request("GET", "/").status == 200


def published(make: Maker) -> tuple[Manifest, dict[str, bytes]]:
    manifest, chunks = make(bytes(8 * MIB), [(MIB, 4 * MIB, [(0, 4096)])])
    return manifest.stamped(VERSION, "2026-01-01T00:00:00Z", 99), chunks


def test_manifest_is_checked(server: Any, image_maker: Maker) -> None:
    manifest, _ = published(image_maker)
    data = serialize(manifest)
    listing = {"images": [{"name": "pc", "versions": [{"version": VERSION, "stored": 99}]}]}
    server.answer = lambda method, path, body: (200, listing if path == "/v1/images" else data)
    store = HttpStore(client(server))
    assert store.manifest(ImageRef("pc")) == manifest
    assert store.manifest(ImageRef("pc", VERSION)) == manifest
    assert store.images()[0].versions[0].stored == 99
    with pytest.raises(ImageDamaged, match="the server sent"):
        store.manifest(ImageRef("other", VERSION))
    with pytest.raises(NotFound):
        store.manifest(ImageRef("nothing"))
    server.answer = lambda *_: (200, data[:-9] + b"x" + data[-8:])
    with pytest.raises(ImageDamaged):
        store.manifest(ImageRef("pc", VERSION))


def test_publish(server: Any, image_maker: Maker) -> None:
    manifest, _ = published(image_maker)
    listing = {"images": [{"name": "pc", "versions": [{"version": VERSION, "stored": 99}]}]}
    server.answer = lambda method, path, body: (
        (201, {"name": "pc", "version": VERSION}) if method == "POST" else (200, listing)
    )
    result = HttpStore(client(server)).publish(manifest)
    assert (result.version, result.stored_bytes) == (VERSION, 99)
    server.answer = lambda *_: (409, {"error": "missing_chunks", "missing": ["ab", "cd"]})
    with pytest.raises(ImageDamaged, match=r"ab.* and 1 more"):
        HttpStore(client(server)).publish(manifest)


def test_missing_chunk(server: Any) -> None:
    with pytest.raises(ImageDamaged, match="is missing"):
        HttpStore(client(server)).get("0" * 64)


def test_restore_waits_for_the_servers_check(
    server: Any, image_maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, _ = published(image_maker)
    states: list[dict[str, Any]] = [
        {"state": "running", "bytes_done": 1, "bytes_total": 4, "problems": []},
        {"state": "running", "bytes_done": 3, "bytes_total": 4, "problems": []},
        {"state": "sound", "bytes_done": 4, "bytes_total": 4, "problems": []},
    ]
    monkeypatch.setattr(http_store, "_POLL", 0.0)
    server.answer = lambda *_: (200, {"image_check": states.pop(0)})
    meter = Meter()
    store = HttpStore(client(server))
    total = manifest.chunk_bytes
    with meter.phase("check", total):
        assert store.prove(manifest, meter) == []
        assert meter.record().done == total
    broken = {
        "state": "broken",
        "bytes_done": 4,
        "bytes_total": 4,
        "problems": [{"digest": "ab", "problem": "is torn"}],
    }
    server.answer = lambda *_: (200, {"image_check": broken})
    [problem] = store.prove(manifest, meter)
    assert (problem.digest, problem.problem) == ("ab", "is torn")


def test_without_a_check_everything_is_read(server: Any, image_maker: Maker) -> None:
    manifest, chunks = published(image_maker)

    def answer(method: str, path: str, body: bytes) -> tuple[int, Any]:
        return (
            (200, {"image_check": None})
            if path == "/v1/session"
            else (200, chunks[path.rpartition("/")[2]])
        )

    server.answer = answer
    assert HttpStore(client(server)).prove(manifest, Meter()) == []
    lost = max(chunks)
    chunks[lost] = b"torn"
    [problem] = HttpStore(client(server)).prove(manifest, Meter())
    assert problem.digest == lost


def test_session_file_is_private(tmp_path: Path, server: Any) -> None:
    session = Session(server.url, str(server.ca), "secret", "s1", "pc1", "backup", "pc1")
    path = tmp_path / "run/session.json"
    session.save(path)
    session.save(path)
    assert Session.load(path) == session
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("[]")
    with pytest.raises(UsageError):
        Session.load(path)


def test_reporter_never_stops_the_work(server: Any) -> None:
    server.answer = lambda *_: (500, {})
    session = Session(server.url, str(server.ca), "secret", "s1", "pc1", "backup", "pc1")
    reporter, meter = Reporter(session), Meter()
    reporter.progress(meter.record())
    server.answer = lambda *_: (200, {})
    reporter.finish({"type": "result", "verb": "backup"})
    assert server.asked[-1][1] == "/v1/session/result"
    assert json.loads(server.asked[-1][2])["verb"] == "backup"
