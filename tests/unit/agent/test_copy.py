# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies between stores: what is missing and nothing else, proven first, published last."""

import errno
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.cli.main import main
from slipway.engine.copy import copy
from slipway.engine.copy_target import CopyTarget
from slipway.engine.errors import ImageDamaged, StoreRefused, StoreUnreachable
from slipway.engine.folder_store import FolderStore
from slipway.engine.memory_store import MemoryStore
from slipway.engine.progress import Meter
from slipway.engine.result import Result
from slipway.format import ImageRef, Manifest, make_frame, serialize

MIB = 1 << 20
SIZE = 64 * MIB
PARTS = [(MIB, 63 * MIB, [(0, 63 * MIB)])]
Maker = Callable[..., tuple[Manifest, dict[str, bytes]]]


class Line(MemoryStore):
    """A store behind a line that breaks after so many chunks, and counts those that came."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1 << 30
        self.fetched = 0

    def get(self, digest: str) -> bytes:
        if self.left <= 0:
            raise StoreUnreachable("the line is cut")
        self.left -= 1
        self.fetched += 1
        return super().get(digest)


@pytest.fixture
def source(image_maker: Maker) -> Line:
    manifest, chunks = image_maker(random.Random(5).randbytes(SIZE), PARTS)
    store = Line()
    store.chunks = chunks
    store.publish(manifest)
    return store


def copied(source: MemoryStore, root: Path, **options: Any) -> Result:
    target = CopyTarget(root)
    try:
        return copy(source, target, ImageRef("pc", None), Meter(), **options)
    finally:
        target.close()


def sound(source: MemoryStore, root: Path) -> bool:
    """Whether the folder has the very version, and all of it."""
    store = FolderStore(root, trusting=False)
    manifest = store.manifest(ImageRef("pc", None))
    assert serialize(manifest) == serialize(source.manifest(ImageRef("pc", None)))
    return store.prove(manifest, Meter()) == []


def test_a_version_is_the_same_there_and_copied_once(source: Line, tmp_path: Path) -> None:
    first = copied(source, tmp_path / "usb", threads=3)
    assert (first.changed, first.cells.sent, source.fetched) == (True, 64, 64)
    assert sound(source, tmp_path / "usb")
    again = copied(source, tmp_path / "usb")
    assert (again.changed, again.sent, source.fetched) == (False, 0, 64)
    assert list((tmp_path / "usb/tmp").iterdir()) == []


def test_a_line_that_is_cut_ten_times_sends_nothing_twice(source: Line, tmp_path: Path) -> None:
    for _ in range(10):
        source.left = 6
        with pytest.raises(StoreUnreachable):
            copied(source, tmp_path / "usb", threads=3)
        assert FolderStore(tmp_path / "usb").images() == []
    source.left = 1 << 30
    assert copied(source, tmp_path / "usb").changed
    assert source.fetched == 64
    assert sound(source, tmp_path / "usb")


def test_what_a_killed_copy_had_written_is_not_sent_again(source: Line, tmp_path: Path) -> None:
    """Whole chunks get their names when the next one begins; half ones and others don't."""
    manifest = source.manifest(ImageRef("pc", None))
    whole, half, wrong = (digest for digest, _ in list(manifest.chunks())[:3])
    desk = tmp_path / "usb/tmp/run-1-dead"
    desk.mkdir(parents=True)
    (desk / f"{whole}-0").write_bytes(source.chunks[whole])
    (desk / f"{half}-0").write_bytes(source.chunks[half][:-7])
    (desk / f"{wrong}-0").write_bytes(source.chunks[whole])
    (desk / "manifest-0").write_bytes(b"half a manif")
    assert copied(source, tmp_path / "usb").cells.sent == 63
    assert sound(source, tmp_path / "usb")


@pytest.mark.parametrize("how", ["gone", "wrong", "long"])
def test_a_bad_chunk_is_named_and_nothing_is_published(
    how: str, source: Line, tmp_path: Path
) -> None:
    manifest = source.manifest(ImageRef("pc", None))
    bad = list(manifest.chunks())[20][0]
    good = source.chunks.pop(bad)
    if how != "gone":
        source.chunks[bad] = make_frame(b"x") if how == "wrong" else good + b"\0"
    with pytest.raises(ImageDamaged, match=bad) as caught:
        copied(source, tmp_path / "usb")
    assert "not published" in caught.value.message
    store = FolderStore(tmp_path / "usb")
    assert store.images() == []
    # The rest was worth its while: it is there, and what is bad is not.
    assert store.missing([digest for digest, _ in manifest.chunks()]) == {bad}
    source.chunks[bad] = good
    assert copied(source, tmp_path / "usb").cells.sent == 1
    assert sound(source, tmp_path / "usb")


def test_what_the_target_has_need_not_be_good_at_the_source(source: Line, tmp_path: Path) -> None:
    copied(source, tmp_path / "usb")
    bad = next(iter(source.chunks))
    kept = source.chunks.pop(bad)
    manifest = source.manifest(ImageRef("pc", None))
    source.manifests["pc"]["20990101T000000Z"] = replace(manifest, version="20990101T000000Z")
    assert copied(source, tmp_path / "usb").changed
    source.chunks[bad] = kept
    assert sound(source, tmp_path / "usb")


def test_another_version_of_that_name_is_left_alone(source: Line, tmp_path: Path) -> None:
    copied(source, tmp_path / "usb")
    [path] = (tmp_path / "usb/images/pc").iterdir()
    before = path.read_bytes()
    manifest = source.manifest(ImageRef("pc", None))
    other = replace(manifest, machine=replace(manifest.machine, name="another"))
    source.manifests["pc"][manifest.version] = other
    with pytest.raises(StoreRefused, match=f"another pc@{manifest.version}"):
        copied(source, tmp_path / "usb")
    assert path.read_bytes() == before


def test_a_chunk_that_is_bad_at_the_target_is_sent_again_when_it_is_read_first(
    source: Line, tmp_path: Path
) -> None:
    copied(source, tmp_path / "usb")
    victim = next(path for path in (tmp_path / "usb/chunks").rglob("*") if path.is_file())
    victim.write_bytes(victim.read_bytes()[:-1])
    assert not copied(source, tmp_path / "usb").changed
    healed = copied(source, tmp_path / "usb", read_first=True)
    assert (healed.changed, healed.cells.sent) == (True, 1)
    assert sound(source, tmp_path / "usb")


def test_a_server_is_a_source(
    source: Line, server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site pulls over HTTPS, with a token."""
    manifest = source.manifest(ImageRef("pc", None))
    listing = {"name": "pc", "versions": [{"version": manifest.version}]}

    def answer(method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/v1/images":
            return 200, {"images": [listing]}
        if path.startswith("/v1/images/pc/"):
            return 200, serialize(manifest)
        return 200, source.chunks[path.rpartition("/")[2]]

    server.answer = answer
    (tmp_path / "token").write_text("secret\n")
    where = ["--token-file", str(tmp_path / "token"), "--ca", str(server.ca)]
    code = main(["copy", "pc", "--from", server.url, "--to", str(tmp_path / "b"), *where, "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, result["verb"], result["cells"]["sent"]) == (0, "copy", 64), result
    assert sound(source, tmp_path / "b")
    assert {asked[3] for asked in server.asked} == {"Bearer secret"}


def test_a_stick_without_hard_links_is_a_store(
    source: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT and exFAT say EPERM, which no file system here can be made to say."""

    def no_links(draft: Path, final: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert copied(source, tmp_path / "usb").changed
    assert sound(source, tmp_path / "usb")
    # A name is given once there, too.
    target = CopyTarget(tmp_path / "usb")
    with pytest.raises(FileExistsError):
        target._link(source.manifest(ImageRef("pc", None)))
    target.close()
    assert list((tmp_path / "usb/tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--from", "NOWHERE", "--to", "B"], "usage"),
        (["--from", "A", "--to", "https://img"], "usage"),
        (["--from", "https://img", "--to", "B"], "usage"),
        (["--from", "A", "--to", "FILE"], "store_refused"),
    ],
)
def test_what_can_t_be_meant_is_refused(
    words: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FolderStore(tmp_path / "A", create=True)
    (tmp_path / "FILE").write_text("")
    places = [
        str(tmp_path / word) if word in ("A", "B", "FILE", "NOWHERE") else word for word in words
    ]
    assert main(["copy", "pc", *places, "--json"]) != 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["error"] == error
    assert said["remedy"]
