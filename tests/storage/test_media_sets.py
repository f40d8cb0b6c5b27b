# SPDX-License-Identifier: GPL-3.0-or-later
"""Discs of a set as the store of a restore: all at hand on any Linux, or one after the other."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from slipway.engine.devices import find_disk
from slipway.engine.errors import ImageDamaged, Interrupted, SlipwayError
from slipway.engine.match import match_disks
from slipway.engine.progress import Meter
from slipway.engine.restore import restore
from slipway.engine.result import Result
from slipway.engine.set_store import SetStore
from slipway.format import ImageRef, MediaSet

from .conftest import Agent, Outcome
from .disk_builder import FILL, MIB, filled, same_ranges, sh
from .failing_disk import FailingDisk
from .hashes import hash_of
from .media_sets import a_chunk, build, environment, files, flip, make_disk, unpacked

# Else each worker would make a set of its own.
pytestmark = pytest.mark.xdist_group("media sets")

CAPACITY = 42_000_000


class Made:
    """A set of three discs, unpacked, and the disk that they were made of."""

    def __init__(self, space: Path) -> None:
        self.room = space / "set"
        self.room.mkdir()
        self.source = make_disk(self.room / "source", 62)
        self.agent = Agent(self.room / "store")
        self.agent("backup", self.source, "--name", "pc").ok()
        env = environment(self.room / "env")
        words = ("--image", "pc", "--medium", CAPACITY)
        made = build(self.agent.store, env, self.room / "media", *words)
        other = build(
            self.agent.store, env, self.room / "media", *words, "--name", "pc", "--countdown", 31
        )
        assert made["set"] != other["set"]
        # Another name would give other labels: both sets are called the same.
        assert [each["label"] for each in made["discs"]] == [
            each["label"] for each in other["discs"]
        ]
        self.other = unpacked(files(other, self.room / "media")[1], self.room / "other")
        again = build(self.agent.store, env, self.room / "media", *words)
        assert again["set"] == made["set"]
        isos = files(again, self.room / "media")
        assert len(isos) == 3
        folder = self.room / "discs"
        folder.mkdir()
        self.discs = [unpacked(iso, folder / str(at)) for at, iso in enumerate(isos, 1)]


@pytest.fixture(scope="module")
def made(space: Path) -> Made:
    return Made(space)


@pytest.fixture
def discs(made: Made, room: Path) -> list[Path]:
    """Copies that a test may spoil."""
    folder = room / "discs"
    folder.mkdir()
    for disc in made.discs:
        sh("cp", "-a", disc, folder)
    return sorted(folder.iterdir())


@pytest.fixture
def target(made: Made, room: Path) -> Path:
    return filled(room / "target", made.source.stat().st_size)


def slipway(verb: str, *words: object, stores: list[Path]) -> Outcome:
    place = [word for each in stores for word in ("--store", str(each))]
    return Agent(Path(), place)(verb, *words)


def whole(made: Made, target: Path) -> bool:
    """Whether the target holds all that the image does."""
    return made.agent("compare", "pc", target).code == 0


def bootable(target: Path) -> bool:
    with target.open("rb") as file:
        return file.read(512)[510:] == b"\x55\xaa"


# --- all discs at hand ---------------------------------------------------------


def test_several_folders_are_one_store(made: Made, discs: list[Path], target: Path) -> None:
    [image] = slipway("list", stores=discs[::-1]).ok()["images"]
    assert image["name"] == "pc"
    slipway("verify", "pc", stores=discs).ok()
    done = slipway("restore", "pc", target, stores=[discs[2], discs[0], discs[1]]).ok()
    assert done["changed"] and whole(made, target)
    same_ranges(made.source, target, [(0, MIB)])
    assert slipway("restore", "pc", target, stores=discs).ok()["changed"] is False


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda made, discs: discs.pop(), "disc 3 of 3"),
        (lambda made, discs: discs.pop(0), "disc 1 of 3"),
        (lambda made, discs: discs.__setitem__(1, discs[2]), "disc 2 of 3"),
        (lambda made, discs: discs.__setitem__(1, made.other), "does not belong"),
        (lambda made, discs: discs.append(made.other), "made at another time"),
        (lambda made, discs: discs.append(made.agent.store), "no disc of a set"),
        (lambda made, discs: flip(a_chunk(discs[0])), "chunk"),
        (lambda made, discs: flip(a_chunk(discs[2])), "chunk"),
        (lambda made, discs: a_chunk(discs[1]).unlink(), "disc 2 of 3"),
        (lambda made, discs: os.truncate(a_chunk(discs[1]), 1000), "chunk"),
        (lambda made, discs: fifo(a_chunk(discs[1])), "disc 2 of 3"),
        (lambda made, discs: flip(discs[1] / "set.json", 3), "set"),
        (lambda made, discs: flip(next((discs[0] / "images/pc").iterdir())), "manifest"),
    ],
)
def test_what_is_wrong_is_refused_before_the_first_write(
    made: Made,
    discs: list[Path],
    target: Path,
    spoil: Callable[[Made, list[Path]], object],
    says: str,
) -> None:
    spoil(made, discs)
    before = hash_of(target)
    done = slipway("restore", "pc", target, stores=discs)
    assert done.code not in (0, 70), done.last
    assert says in done.last["message"] and done.last["remedy"], done.last
    assert hash_of(target) == before


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_good_copy_beside_a_bad_one_is_enough(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    shutil.copytree(discs[1], room / "copy", symlinks=True)
    a_chunk(discs[1]).unlink()
    slipway("restore", "pc", target, stores=[*discs, room / "copy"]).ok()
    assert whole(made, target)


def test_a_store_is_never_several_folders(made: Made, target: Path) -> None:
    done = slipway("restore", "pc", target, stores=[made.agent.store, made.agent.store])
    done.failed("usage")


def test_media_take_no_backup(made: Made, discs: list[Path]) -> None:
    place = [word for each in discs for word in ("--store", str(each))]
    Agent(Path(), place)("backup", made.source, "--name", "pc").failed("store_refused")


# --- one drive -----------------------------------------------------------------


class Drive:
    """One drive: a folder in which one disc is mounted at a time."""

    def __init__(self, room: Path, discs: list[Path]) -> None:
        self.mount = room / "drive"
        self.discs = {int(disc.name): disc for disc in discs}
        self.asked: list[int] = []
        self.store: SetStore | None = None
        self.put(1)

    def put(self, number: int) -> None:
        self.mount.unlink(missing_ok=True)
        self.mount.symlink_to(self.discs[number])

    def ask(self, about: MediaSet, number: int) -> Path:
        self.asked.append(number)
        assert self.store is not None
        self.store.keep(())
        self.put(number)
        return self.mount

    def restore(self, target: Path, memory: int = 0) -> Result:
        self.asked.clear()
        self.put(1)
        self.store = SetStore([self.mount], self.ask, memory)
        manifest = self.store.manifest(ImageRef("pc"))
        pairs = match_disks(manifest, (), {"disk0": find_disk(target)}, named=True)
        return restore(manifest, pairs, self.store, Meter(), "restore", threads=8)


def test_discs_are_asked_for_in_order_and_once(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    drive = Drive(room, discs)
    assert drive.restore(target).changed and drive.asked == [2, 3]
    assert whole(made, target)
    assert not drive.restore(target).changed and drive.asked == []


def test_a_byte_of_disc_1_stops_it_before_the_first_write(
    discs: list[Path], target: Path, room: Path
) -> None:
    flip(a_chunk(discs[0]))
    before = hash_of(target)
    drive = Drive(room, discs)
    with pytest.raises(ImageDamaged):
        drive.restore(target)
    assert hash_of(target) == before and drive.asked == []


@contextmanager
def unreadable(chunk: Path, room: Path) -> Iterator[None]:
    """Let a drive find a sector of a chunk unreadable: the kernel says EIO."""
    content = room / chunk.name
    chunk.rename(content)
    with FailingDisk(content, room) as failing:
        failing.faults(bad=[[20_000, 22_048]])
        chunk.symlink_to(failing.path)
        yield
        chunk.unlink()
    content.rename(chunk)


def test_unreadable_sectors_of_disc_1_stop_it_before_the_first_write(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    before = hash_of(target)
    drive = Drive(room, discs)
    with unreadable(a_chunk(discs[0]), room), pytest.raises(ImageDamaged, match="chunk"):
        drive.restore(target)
    assert hash_of(target) == before and drive.asked == []
    drive.restore(target)
    assert whole(made, target)


def test_unreadable_sectors_of_disc_2_stop_there_and_a_cleaned_disc_finishes(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    drive = Drive(room, discs)
    with (
        unreadable(a_chunk(discs[1]), room),
        pytest.raises(ImageDamaged, match=r"disc 2 of 3.*Input/output error") as found,
    ):
        drive.restore(target)
    assert "clean the disc" in found.value.remedy
    assert not bootable(target) and drive.asked == [2]
    drive.restore(target)
    assert drive.asked == [2, 3] and whole(made, target) and bootable(target)


@pytest.mark.parametrize("number", [2, 3])
def test_a_byte_of_a_later_disc_stops_there_and_a_good_copy_finishes(
    made: Made, discs: list[Path], target: Path, room: Path, number: int
) -> None:
    flip(a_chunk(discs[number - 1]))
    drive = Drive(room, discs)
    with pytest.raises(ImageDamaged, match="can't boot"):
        drive.restore(target)
    assert drive.asked == [2, 3][: number - 1] and not bootable(target)
    drive.discs[number] = made.discs[number - 1]
    drive.restore(target)
    # Only discs that have something which lacks are asked for.
    assert drive.asked == [2, 3][number - 2 :]
    assert whole(made, target) and bootable(target)


def test_a_disc_pulled_while_it_is_read(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    drive = Drive(room, discs)
    pulled = room / "pulled"
    plain = drive.ask

    def ask(about: MediaSet, number: int) -> Path:
        folder = plain(about, number)
        if number == 2:
            a_chunk(discs[1]).rename(pulled)
        return folder

    drive.ask = ask  # type: ignore[method-assign]
    with pytest.raises(ImageDamaged, match="disc 2 of 3"):
        drive.restore(target)
    assert not bootable(target)
    drive.ask = plain  # type: ignore[method-assign]
    drive.discs[2] = made.discs[1]
    drive.restore(target)
    assert whole(made, target)


@pytest.mark.parametrize("point", range(10))
def test_ended_at_ten_points_it_never_boots_and_goes_on(
    made: Made, discs: list[Path], target: Path, room: Path, point: int
) -> None:
    drive, left = Drive(room, discs), [2 + 2 * point]
    lock = threading.Lock()

    class Ending(SetStore):
        """Ends the restore when so many chunks were fetched after the check."""

        def get(self, digest: str) -> bytes:
            with lock:
                left[0] -= 1
                if left[0] < 0:
                    raise Interrupted("the power is gone")
            return super().get(digest)

    store = Ending([drive.mount], drive.ask)
    drive.store = store
    manifest = store.manifest(ImageRef("pc"))
    pairs = match_disks(manifest, (), {"disk0": find_disk(target)}, named=True)
    before = hash_of(target)
    with pytest.raises(SlipwayError):
        restore(manifest, pairs, store, Meter(), "restore", threads=2)
    assert hash_of(target) == before or not bootable(target)
    drive.restore(target)
    assert whole(made, target) and bootable(target)


def test_what_was_held_is_not_read_again(
    made: Made, discs: list[Path], target: Path, room: Path
) -> None:
    reads: list[str] = []

    class Counting(SetStore):
        def fetch(self, digest: str) -> bytes:
            reads.append(digest)
            return super().fetch(digest)

    for memory, most in ((1 << 30, 1), (0, 2)):
        reads.clear()
        store = Counting(discs, memory=memory)
        manifest = store.manifest(ImageRef("pc"))
        pairs = match_disks(manifest, (), {"disk0": find_disk(target)}, named=True)
        filled(target, made.source.stat().st_size)
        restore(manifest, pairs, store, Meter(), "restore")
        assert {reads.count(digest) for digest in reads} <= set(range(1, most + 2 - (most == 1)))
        assert whole(made, target)
    assert FILL
