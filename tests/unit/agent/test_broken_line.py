# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that end early, or that are none: nothing is ever read from what did not come."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.errors import ImageDamaged, StoreUnreachable
from slipway.engine.progress import Meter
from slipway.engine.store import fetch_content
from slipway.format import ImageRef, digest_of, make_frame, serialize
from slipway.net import http_store
from slipway.net.checkin import check_in, next_session
from slipway.net.choice import Desk, Wish
from slipway.net.client import Client
from slipway.net.http_store import HttpStore
from slipway.net.line import Line
from slipway.net.registration import Registration
from slipway.net.site import Site

from .conftest import make_image

VERSION = "20260101T000000Z"
MIB = 1 << 20
DIGEST = "ab" * 32
SOUND = {"state": "sound", "bytes_done": 4, "bytes_total": 4, "problems": []}
JOB = {"state": "queued", "machine": "pc1", "action": "backup", "title": "Back up"}
MANIFEST = make_image(bytes(8 * MIB), [(MIB, 4 * MIB, [(0, 4096)])])[0].stamped(
    VERSION, "2026-01-01T00:00:00Z", 99
)
LISTING = {"images": [{"name": "pc", "versions": [{"version": VERSION, "stored": 99}]}]}
HTML = b"<html><body>It works!</body></html>"
NOISE = bytes(range(256)) * 1024


def store(server: Any, **options: Any) -> HttpStore:
    options = {"sleep": lambda pause: None, "patience": 5} | options
    return HttpStore(Client(server.url, server.ca, "T", **options))


@pytest.fixture
def root(tmp_path: Path, mock_command: Callable[..., Any]) -> Path:
    mock_command("lsblk", json.dumps({"blockdevices": []}))
    for path, text in {
        "etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 AAAAC3 root@pc",
        "sys/class/net/eth0/address": "52:54:00:00:00:01",
        "sys/class/net/eth0/type": "1",
        "sys/class/net/eth0/device/vendor": "0x8086",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    return tmp_path


# --- answers of every kind, each asked for by the agent's own caller --------------------------
def _tried(ask: Callable[[], Any]) -> Any:
    """As the callers without patience do it."""
    while True:
        with contextlib.suppress(StoreUnreachable):
            return ask()


def _check_in(server: Any, root: Path) -> Any:
    return check_in(Site(server.url, server.ca), "s1", lambda text: None, "n", root).token


def _choose(server: Any, root: Path) -> Any:
    desk = Desk(Site(server.url, server.ca), Wish("item"), "n", root)
    return _tried(lambda: desk.choose(None, None)).state  # type: ignore[union-attr]


def _register(server: Any, root: Path) -> Any:
    registration = Registration(Site(server.url, server.ca), "n", root)
    return _tried(registration.report).state


def _next(server: Any, root: Path) -> Any:
    (root / "stay").touch()
    return next_session(
        Site(server.url, server.ca), root / "stay", lambda text: None, "n" * 22, root
    )


GRANTED = {"id": "s1", "machine": "pc1", "verb": "backup", "image": None, "version": None}
KINDS: dict[str, tuple[Any, Callable[[Any, Path], Any], Any]] = {
    "missing": ({"missing": [DIGEST]}, lambda s, _: store(s).missing([DIGEST]), {DIGEST}),
    "put": ({"digest": DIGEST, "new": True}, lambda s, _: store(s).put(DIGEST, b"x"), None),
    "get": (NOISE, lambda s, _: store(s).get(DIGEST), NOISE),
    "prove": ({"image_check": SOUND}, lambda s, _: store(s).prove(MANIFEST, Meter()), []),
    "images": (LISTING, lambda s, _: store(s).images()[0].name, "pc"),
    "publish": (
        {"version": VERSION} | LISTING,
        lambda s, _: store(s).publish(MANIFEST).version,
        VERSION,
    ),
    "manifest": (
        serialize(MANIFEST),
        lambda s, _: store(s).manifest(ImageRef("pc", VERSION)),
        MANIFEST,
    ),
    "check-in": ({"token": "T", "session": GRANTED}, _check_in, "T"),
    "choice": ({"token": "T", "job": JOB}, _choose, "queued"),
    "registration": ({"token": "T", "registration": {"state": "waiting"}}, _register, "waiting"),
    "pending": ({"session": "s2"}, _next, "s2"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    monkeypatch.setattr("slipway.net.checkin.time.sleep", lambda pause: None)
    monkeypatch.setattr(http_store, "_POLL", 0.0)
    return KINDS[request.param]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_answer_is_asked_for_again(
    server: Any, root: Path, framing: str, kind: tuple[Any, Any, Any]
) -> None:
    reply, ask, meant = kind
    server.answer, server.framing = lambda *_: (200, reply), framing
    server.cuts = [0, 1, 7, None]
    assert ask(server, root) == meant
    assert server.cuts == [], "every cut answer was noticed"


def test_an_answer_without_an_end_is_no_answer(
    server: Any, root: Path, kind: tuple[Any, Any, Any]
) -> None:
    """Where the connection's end is the answer's, a broken line looks like it."""
    reply, ask, meant = kind
    asked = 0

    def answer(*_: Any) -> tuple[int, Any]:
        nonlocal asked
        asked += 1
        server.framing = "close" if asked <= 2 else "length"
        return 200, reply

    server.answer = answer
    assert ask(server, root) == meant
    assert asked >= 3


ODD: list[Any] = [
    *(HTML, b"", b"[]", b"null", {}, {"message": "moved"}, {"missing": None, "session": 1}),
    {
        "missing": ["cd" * 32],
        "digest": "cd" * 32,
        "version": "../x",
        "images": [1],
        "image_check": {"state": "?"},
        "registration": {"state": "lost"},
        "job": [],
        "token": "",
    },
]


def test_an_odd_answer_is_asked_for_again(
    server: Any, root: Path, kind: tuple[Any, Any, Any]
) -> None:
    reply, ask, meant = kind
    if isinstance(reply, bytes):
        pytest.skip("proven by its digest or its format, see below")
    odd = list(ODD)
    server.answer = lambda *_: (200, odd.pop(0) if odd else reply)
    assert ask(server, root) == meant
    assert odd == []


def test_a_no_of_somebody_else_is_no_answer(
    server: Any, root: Path, kind: tuple[Any, Any, Any]
) -> None:
    """Such as the page of an nginx that has not read its site yet, or of a proxy."""
    reply, ask, meant = kind
    odd: list[tuple[int, bytes]] = [
        (status, body)
        for status in (302, 400, 401, 403, 404, 409, 410, 413, 421)
        for body in (HTML, b"", b'{"detail": "Not Found"}')
    ]
    server.answer = lambda *_: odd.pop(0) if odd else (200, reply)
    assert ask(server, root) == meant
    assert odd == []


# --- chunks ----------------------------------------------------------------------------------
def test_a_body_goes_on_where_it_broke(server: Any) -> None:
    server.answer = lambda *_: (200, NOISE)
    server.cuts = [100_000, 70_000, 0, None]
    assert store(server).get(DIGEST) == NOISE
    assert server.ranges == ["bytes=100000-", "bytes=170000-", "bytes=170000-"]


def test_a_server_that_can_not_go_on_begins_anew(server: Any) -> None:
    server.answer, server.resumes = lambda *_: (200, NOISE), False
    server.cuts = [100_000, 50_000, None]
    assert store(server).get(DIGEST) == NOISE


def test_a_wrong_chunk_is_fetched_once_more(server: Any) -> None:
    good = make_frame(b"content" * 99)
    digest = digest_of(b"content" * 99)
    bodies = [HTML, good]
    server.answer = lambda *_: (200, bodies.pop(0))
    assert bytes(fetch_content(store(server), digest, 7 * 99)) == b"content" * 99
    bodies = [good[:-1] + b"x"] * 2
    with pytest.raises(ImageDamaged):
        fetch_content(store(server), digest, 7 * 99)
    assert bodies == []


def test_a_large_body_is_not_sent_to_a_server_that_is_away(server: Any) -> None:
    answers: list[tuple[int, Any]] = [(503, {}), (503, {}), (502, {}), (200, {"digest": DIGEST})]

    def answer(method: str, path: str, body: bytes) -> tuple[int, Any]:
        if method == "GET" and len(answers) == 1:
            return 200, {"machine": "pc"}
        return answers.pop(0)

    server.answer = answer
    store(server).put(DIGEST, NOISE)
    assert [method for method, *_ in server.asked] == ["PUT", "GET", "GET", "GET", "PUT"]


# --- patience --------------------------------------------------------------------------------
def test_patience_begins_anew_with_whatever_gets_through(server: Any) -> None:
    """One thread fails all the time; while others get through, it does not give up."""
    server.answer = lambda method, path, body: (
        (200, {"missing": []}) if path.endswith("query") else (503, {"message": "not now"})
    )
    shared = store(server, patience=0.5, sleep=lambda pause: time.sleep(0.02))
    ended: list[float] = []

    def failing() -> None:
        with pytest.raises(StoreUnreachable, match="not now"):
            shared.get(DIGEST)
        ended.append(time.monotonic())

    thread = threading.Thread(target=failing)
    thread.start()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        shared.missing([DIGEST])
        time.sleep(0.05)
    last = time.monotonic()
    assert ended == []
    thread.join(10)
    assert ended[0] - last > 0.3


def test_bytes_that_come_are_progress_the_same_ones_again_are_not(server: Any) -> None:
    server.answer = lambda *_: (200, NOISE)
    server.cuts = [1000] * 50
    patient = store(server, patience=0.2, sleep=lambda pause: time.sleep(0.05))
    assert patient.get(DIGEST) == NOISE
    server.cuts, server.resumes = [1000] * 500, False
    with pytest.raises(StoreUnreachable, match="ended after 1000 of"):
        patient.get(DIGEST)


def test_what_it_waits_for_is_said(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.net.pulse._HICCUP", 0.0)
    answers: list[tuple[int, Any]] = [(503, {"message": "no\x1b[2J room"})]
    server.answer = lambda *_: answers.pop(0) if answers else (200, {"missing": []})
    said: list[str] = []
    waiting = HttpStore(
        Client(
            server.url, server.ca, "T", 9, sleep=lambda pause: said.append(meter.record().waiting)
        )
    )
    meter = Meter(waiting=lambda: waiting.waiting)
    waiting.missing([DIGEST])
    assert "no?[2J room" in said[0] and "nginx and slipway run" in said[0]
    assert meter.record().waiting == ""


# --- the line --------------------------------------------------------------------------------
def test_a_slow_line_carries_few_at_a_time_a_fast_one_many() -> None:
    line = Line(least=2)

    def places() -> int:
        with contextlib.ExitStack() as held:
            for count in range(100):
                if line._busy >= line._allowed:
                    return count
                held.enter_context(line.turn())
        raise AssertionError("no end")

    assert places() == 2
    for _ in range(6):
        line.took(0.01)
    assert places() == 8
    line.took(0.4)
    assert places() == 8
    for _ in range(20):
        line.took(0.9)
    assert places() == 2
