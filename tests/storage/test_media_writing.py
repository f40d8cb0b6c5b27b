# SPDX-License-Identifier: GPL-3.0-or-later
"""How a disc is written: what xorriso leaves to the builder, what proves a chunk, what fails."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from slipway.engine.soundness import Soundness
from slipway.format import make_frame
from slipway_media import media_set, tools
from slipway_media.errors import MediaError
from slipway_media.iso import command as xorriso
from slipway_media.plan import Order, Plan, fill_tree, make_plan
from slipway_media.writing import differs_at, put

from .conftest import Agent
from .disk_builder import MIB, mounted, sh, sha256
from .failing_disk import FailingDisk, on_loop
from .media_sets import build, environment, files, flip, make_disk, run


@pytest.fixture
def store(room: Path) -> Path:
    source = make_disk(room / "source", 40, seed=4)
    Agent(room / "store")("backup", source, "--name", "pc").ok()
    return room / "store"


def planned(store: Path, room: Path, medium: object = "usb") -> Plan:
    env = room / "env"
    order = Order(store, env if env.exists() else environment(env), "pc", str(medium))
    return make_plan(order, Path(os.fspath(room / f"plan{len(list(room.iterdir()))}")))


@pytest.mark.parametrize("medium", ["usb", 40_000_000])
def test_a_disc_is_what_xorriso_itself_would_have_written(
    store: Path, room: Path, medium: object
) -> None:
    """The builder stops xorriso before the chunks, writes them itself, and what lies behind."""
    plan = planned(store, room, medium)
    (room / "made").mkdir()
    discs = media_set.make(plan, room / "made")
    assert len(discs) == len(plan.discs) == (1 if medium == "usb" else 2)
    for number, disc in enumerate(discs, 1):
        work = room / f"work{number}"
        fill_tree(plan, work / "tree", number)
        chunks = [plan.chunks[at] for at in plan.discs[number - 1].positions()]
        argv = xorriso(work / "tree", disc["label"], chunks, number == 1, work)
        with tools.reading(*argv) as whole:
            wanted = whole.read()
        found = (room / "made" / disc["file"]).read_bytes()
        assert len(found) == len(wanted) and found == wanted
        assert hashlib.sha256(found).hexdigest() == disc["sha256"]


def test_a_store_may_lie_below_any_name(store: Path, room: Path) -> None:
    odd = room / "a=b c\\d 'ä\"$x"
    odd.mkdir()
    assert made(store.rename(odd / "store=x"), odd) == made(odd / "store=x", room)


def test_a_chunk_is_proven_unless_it_was_lately(store: Path, room: Path) -> None:
    """What the store remembers is believed for as long as the file is as it was."""
    chunk = max((store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    flip(chunk)
    assert "can't be put on media" in refusal(store, room)
    # As if it had been read through since: it is copied as it is.
    Soundness(store / "sound/chunks").remember({chunk.name: chunk.stat()})
    believed = made(store, room)
    assert chunk.read_bytes() in believed
    # Another byte, and times that were set back: the file tells of that.
    before = chunk.stat()
    flip(chunk, 200)
    os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "can't be put on media" in refusal(store, room)
    # Sound again, and nothing remembered.
    flip(chunk, 200)
    flip(chunk)
    (store / "sound/chunks").unlink()
    assert chunk.read_bytes() in made(store, room)


def made(store: Path, room: Path) -> bytes:
    folder = room / f"made{len(list(room.iterdir()))}"
    folder.mkdir()
    [disc] = media_set.make(planned(store, room), folder)
    return (folder / disc["file"]).read_bytes()


def refusal(store: Path, room: Path) -> str:
    with pytest.raises(MediaError) as caught:
        made(store, room)
    return caught.value.message


def test_a_chunk_that_changes_its_length_meanwhile_stops_it(store: Path, room: Path) -> None:
    """The places of all behind it would be others: not even a sound frame may be that."""
    plan = planned(store, room)
    chunk = plan.chunks[3].source
    content = chunk.read_bytes()
    # Another frame of the same content, as a store has it that was repaired from elsewhere.
    chunk.write_bytes(make_frame(zstandard.ZstdDecompressor().decompress(content), level=19))
    assert chunk.stat().st_size != len(content)
    (room / "made").mkdir()
    with pytest.raises(MediaError, match="changed while the media were being made"):
        media_set.make(plan, room / "made")


# --- disks and sticks that fail ------------------------------------------------


@pytest.fixture
def failing(room: Path) -> Iterator[tuple[FailingDisk, Path]]:
    """A disk of 192 MiB that can be written, and its device."""
    content = room / "content"
    content.touch()
    os.truncate(content, 192 * MIB)
    with FailingDisk(content, room, writable=True) as disk, on_loop(disk.path) as device:
        yield disk, device


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_disk_that_cannot_keep_a_set_says_so(
    store: Path, room: Path, failing: tuple[FailingDisk, Path], when: str
) -> None:
    """What was handed to the kernel and never reached the disk is no set."""
    disk, device = failing
    sh("mkfs.ext4", "-q", device)
    with mounted(device_in(room, device)) as media:
        env = environment(room / "env")
        words = ("--image", "pc", "--medium", "usb")
        before = build(store, env, media, *words) if when == "after" else None
        disk.faults(bad_writes=[(80 * MIB, 192 * MIB)])
        done = run(store, env, media, *words, "--name", "other", "--countdown", 5)
        assert done.returncode == 1 and "Remedy: " in done.stderr, done.stderr
        assert "Input/output error" in done.stderr and "None" not in done.stderr
        assert not (media / "other").exists()
        disk.faults()
        if before:
            [iso] = files(before, media)
            assert sha256(iso) == before["discs"][0]["sha256"]


def device_in(room: Path, device: Path) -> Path:
    """The device by a name in a folder of ours, beside which it is mounted."""
    (room / "device").symlink_to(device)
    return room / "device"


def test_a_chunk_that_cannot_be_read_stops_it(store: Path, room: Path) -> None:
    chunk = max((store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    with FailingDisk(chunk.rename(room / "chunk"), room) as disk:
        chunk.symlink_to(disk.path)
        disk.faults(bad=[(100_000, 100_001)])
        plan = planned(store, room)
        (room / "made").mkdir()
        with pytest.raises(MediaError, match="can't be read: Input/output error"):
            media_set.make(plan, room / "made")


@pytest.mark.parametrize("fault", ["bad_writes", "bad", "bad_sync"])
def test_a_stick_with_a_bad_block_is_known_before_it_leaves(
    room: Path, failing: tuple[FailingDisk, Path], fault: str
) -> None:
    file = room / "file"
    file.write_bytes(os.urandom(24 * MIB))
    disk, stick = failing
    bad = [(9 * MIB, 9 * MIB + 512)]
    disk.faults(**{fault: True if fault == "bad_sync" else bad})
    with pytest.raises(MediaError if fault == "bad" else OSError):
        put(file, stick)
    disk.faults()
    assert put(file, stick) is (fault == "bad_writes") and differs_at(file, stick) is None
