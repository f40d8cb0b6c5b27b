# SPDX-License-Identifier: GPL-3.0-or-later
"""What the builder of media believes of the control service: whole answers, files as they are."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from slipway.format import digest_of
from slipway_media import remembered
from slipway_media.remembered import File, ask, is_as_it_was
from slipway_server.api.models.images import MAX_QUERY

from ..server.conftest import Service, cell

LENGTH, END = b"content-length:", b"\r\n"
CONTENTS = [f"chunk {number}".encode() for number in range(5)]
SIZES = {digest_of(each): len(each) for each in CONTENTS}
DIGESTS = list(SIZES)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made.start()
    made.close()


def row(digest: str, **changes: Any) -> dict[str, Any]:
    size = SIZES.get(digest, 1)
    return {"digest": digest, "content_size": size, "size": 9, "mtime_ns": 7, "ino": 5} | changes


def whole(*rows: Any, status: str = "200 OK") -> bytes:
    return said(json.dumps({"sound": list(rows)}).encode(), status)


def said(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@contextmanager
def answering(path: Path, *answers: bytes | None) -> Iterator[Path]:
    """What gives these answers, one to each question, and hangs up then; None: it says nothing."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen(8)

        def serve() -> None:
            for answer in answers:
                # Who has heard enough hangs up.
                with suppress(OSError), door.accept()[0] as client, client.makefile("rb") as file:
                    head = list(iter(lambda: file.readline() or END, END))
                    [length] = [int(line[16:]) for line in head if line[:15].lower() == LENGTH]
                    file.read(length)
                    if answer is None:
                        file.read(1)
                    else:
                        client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield path


def test_what_is_said_is_asked_for_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "AT_ONCE", 2)
    parts = [whole(row(DIGESTS[0])), whole(), whole(row(DIGESTS[4], ino=2**63))]
    with answering(tmp_path / "s", *parts) as path:
        assert ask(path, SIZES) == {DIGESTS[0]: File(9, 7, 5), DIGESTS[4]: File(9, 7, 2**63)}


def test_as_many_at_once_as_the_service_takes() -> None:
    assert remembered.AT_ONCE <= MAX_QUERY


NONSENSE = {
    "nothing": b"",
    "no HTTP": b"nonsense\r\n\r\n",
    "an older service": whole(status="404 Not Found"),
    "a failure": whole(row(DIGESTS[1]), status="500 Internal Server Error"),
    "cut in its head": whole(row(DIGESTS[1]))[:20],
    "cut in its body": whole(row(DIGESTS[1]))[:-9],
    "no JSON": said(b"{{{"),
    "no text": said(b"\xff\xfe\xff"),
    "brackets": said(b"[" * 100_000),
    "a list": said(b"[]"),
    "no list": said(b'{"sound": {}}'),
    "another's chunk": whole(row("0" * 64)),
    "no chunk": whole(row(DIGESTS[1]), [DIGESTS[1]]),
    "a list for a name": whole(row(DIGESTS[1]) | {"digest": [DIGESTS[1]]}),
    "a truth for a number": whole(row(DIGESTS[1], ino=True)),
    "a text for a number": whole(row(DIGESTS[1], size="9")),
    "a fraction": whole(row(DIGESTS[1], mtime_ns=7.0)),
    "a lack": whole({"digest": DIGESTS[1], "size": 9, "mtime_ns": 7, "ino": 5}),
    "far too much": said(b" " * (3 << 20) + b'{"sound": []}'),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_who_says_nonsense_is_believed_in_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(remembered, "AT_ONCE", 1)
    # What comes before and after it would be right.
    answers = [whole(row(DIGESTS[0])), answer, *(whole(row(each)) for each in DIGESTS[2:])]
    with answering(tmp_path / "s", *answers) as path:
        assert ask(path, SIZES) == {}


def test_who_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_SECONDS", 0.2)
    with answering(tmp_path / "s", None) as path:
        assert ask(path, SIZES) == {}


def test_where_there_is_no_service_nothing_is_known(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (tmp_path / "none", file, tmp_path, tmp_path / ("x" * 200), Path("a\0b")):
        assert ask(path, SIZES) == {}


def test_a_content_of_another_size_is_not_what_the_version_needs(tmp_path: Path) -> None:
    other = SIZES[DIGESTS[0]] - 1
    answer = whole(row(DIGESTS[0], content_size=other), row(DIGESTS[1]))
    with answering(tmp_path / "s", answer) as path:
        assert ask(path, SIZES).keys() == {DIGESTS[1]}


def test_a_file_is_as_it_was_until_somebody_writes_or_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "chunk"
    path.write_bytes(b"123")
    found = path.stat()
    file = File(found.st_size, found.st_mtime_ns, found.st_ino)
    assert is_as_it_was(path, file) and not is_as_it_was(path, None)
    # A promise of the service.
    os.utime(path, ns=(1, found.st_mtime_ns))
    assert is_as_it_was(path, file)
    other = tmp_path / "other"
    other.write_bytes(b"123")
    os.utime(other, ns=(1, found.st_mtime_ns))
    assert not is_as_it_was(other, file)
    os.utime(path, ns=(1, found.st_mtime_ns + 1))
    assert not is_as_it_was(path, file)
    path.write_bytes(b"1234")
    os.utime(path, ns=(1, found.st_mtime_ns))
    assert not is_as_it_was(path, file)
    path.unlink()
    assert not is_as_it_was(path, file)


def test_the_service_itself_answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "AT_ONCE", 2)
    contents = [cell(f"asked by the builder {number}") for number in range(3)]
    service.image(*contents[:2])
    sizes = {digest_of(each): len(each) for each in contents}
    found = ask(service.folder / "maker", sizes)
    assert found.keys() == {digest_of(each) for each in contents[:2]}
    for content in contents[:2]:
        assert is_as_it_was(service.chunk_path(content), found[digest_of(content)])
