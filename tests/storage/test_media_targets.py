# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk a medium writes, and what it does when none is certain: the talk itself, on files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from slipway.cli.medium import About, End, MediumTalk
from slipway.cli.medium_restore import write
from slipway.engine import devices
from slipway.engine.devices import BlockDisk, find_disk
from slipway.engine.drives import Drives, Medium
from slipway.engine.set_store import read_set
from slipway.engine.target_rule import Rule
from slipway.format import Identity, parse, serialize

from .conftest import Agent
from .disk_builder import attached, filled
from .hashes import hash_of
from .media_sets import build, environment, files, make_disk, unpacked

# Else each worker would make its sets of its own.
pytestmark = pytest.mark.xdist_group("media targets")

OWN = Identity("OWN-1", "", "SSD")


class Person:
    """Types what it was told to; `presses` a key in the countdown."""

    def __init__(self, *typed: str | None, presses: bool = False) -> None:
        self.typed = list(typed)
        self.presses = presses
        self.seen: list[str] = []

    def draw(self, lines: Sequence[str]) -> None:
        self.seen += lines

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        self.seen.append(prompt)
        return self.typed.pop(0)

    def pressed(self, seconds: float) -> bool:
        return self.presses

    def wait(self, seconds: float) -> None:
        """Nobody waits in a test."""

    @property
    def said(self) -> str:
        return "\n".join(self.seen)


class Made:
    """A set of one medium and one of two discs, of a disk with a serial number."""

    def __init__(self, space: Path) -> None:
        room = space / "targets"
        room.mkdir()
        self.size = make_disk(room / "source", 36).stat().st_size
        self.agent = Agent(room / "store")
        self.agent("backup", room / "source", "--name", "pc").ok()
        [file] = (room / "store/images/pc").iterdir()
        manifest = parse(file.read_bytes())
        own = replace(manifest.disks[0], identity=OWN)
        file.write_bytes(serialize(replace(manifest, disks=(own,))))
        env = environment(room / "env")
        self.sets: dict[int, list[Path]] = {}
        for medium in ("usb", 40_000_000):
            words = ("--image", "pc", "--medium", medium)
            made = build(room / "store", env, room / f"of-{medium}", *words)
            isos = files(made, room / f"of-{medium}")
            folder = room / f"discs{len(isos)}"
            folder.mkdir()
            self.sets[len(isos)] = [
                unpacked(iso, folder / str(at)) for at, iso in enumerate(isos, 1)
            ]


@pytest.fixture(scope="module")
def made(space: Path) -> Made:
    found = Made(space)
    assert sorted(found.sets) == [1, 2]
    return found


class Shelf(Drives):
    """All discs of a set at hand, in drives of their own."""

    def __init__(self, discs: Sequence[Path], held_by: Path = Path("/dev/sr0")) -> None:
        super().__init__()
        media = [Medium(held_by, each, read_set(each), True, 1, 1) for each in discs]
        self.media = {Path(f"/dev/sr{at}"): [each] for at, each in enumerate(media)}

    def look(self) -> list[Medium]:
        return [each for those in self.media.values() for each in those]

    def optical(self) -> list[Path]:
        return []


class Pc:
    """A PC with these disks, in which a medium was chosen to write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, made: Made, room: Path) -> None:
        self._patch = monkeypatch
        self.made = made
        self.room = room
        self.disks: list[BlockDisk] = []

    def disk(self, serial: str, size: int | None = None) -> Path:
        path = filled(self.room / f"disk{len(self.disks)}", size or self.made.size)
        return self.plug(path, serial)

    def plug(self, path: Path, serial: str) -> Path:
        self.disks.append(replace(find_disk(path), identity=Identity(serial, "", "SSD")))
        return path

    def start(
        self,
        person: Person,
        rule: Rule | None = None,
        discs: int = 1,
        *,
        attended: bool = False,
        held_by: Path = Path("/dev/sr0"),
    ) -> End:
        self._patch.setattr(devices, "fixed_disks", lambda: tuple(self.disks))
        media = self.made.sets[discs]
        about = About(read_set(media[0]).id, not attended, 1, rule or Rule())
        return MediumTalk(about, Shelf(media, held_by), person).run("write", write)

    def as_before(self) -> bool:
        for each in self.disks:
            untouched = filled(self.room / "untouched", each.size)
            if hash_of(each.path) != hash_of(untouched):
                return False
        return True

    def restored(self, path: Path) -> bool:
        return self.made.agent("compare", "pc", "--target", f"disk0={path}").code == 0


@pytest.fixture
def pc(monkeypatch: pytest.MonkeyPatch, made: Made, room: Path) -> Pc:
    return Pc(monkeypatch, made, room)


@pytest.mark.parametrize("discs", [1, 2])
def test_its_own_disk_is_written_after_the_countdown_and_then_never_again(
    pc: Pc, discs: int
) -> None:
    other, own = pc.disk("OTHER"), pc.disk("OWN-1")
    person = Person()
    assert pc.start(person, discs=discs) == "off"
    assert "Any key stops it." in person.said and "Done. Take the medium out" in person.said
    assert pc.restored(own) and not pc.restored(other)
    before = hash_of(own)
    person = Person()
    assert pc.start(person, discs=discs) == "own-disk"
    assert "Nothing was written." in person.said and hash_of(own) == before


def test_a_key_in_the_countdown_leads_to_the_question(pc: Pc) -> None:
    pc.disk("OTHER")
    pc.disk("OWN-1")
    person = Person("", presses=True)
    assert pc.start(person) == "restart"
    assert "Word: " in person.said and "Nothing was written." in person.said
    # The certain one is offered first.
    assert person.said.index("serial OWN-1", person.said.index("Which disk")) < person.said.index(
        "serial OTHER"
    )
    assert pc.as_before()


def test_whoever_answers_nothing_gets_a_pc_that_is_off(pc: Pc) -> None:
    pc.disk("OWN-1")
    person = Person(None, presses=True)
    assert pc.start(person) == "off" and "This PC switches off." in person.said
    assert pc.as_before()


@pytest.mark.parametrize(
    ("serials", "rule", "why"),
    [
        (("OTHER",), Rule(), "No disk of this PC is the one that the image was saved from"),
        (("OWN-1", "OWN-1"), Rule(), "2 disks say that they are the one"),
        (("A", "B"), Rule(only_fixed=True), "This PC has 2 fixed disks"),
        (("A", "B"), Rule(model="SSD"), "2 disks of this PC fit"),
        (("A",), Rule(model="HDD"), "No disk of this PC fit"),
        (("A",), Rule(least_size=1 << 50), "No disk of this PC fit"),
        (("OWN-1",), Rule(machine_serial="of-no-pc"), "made for the PC with the serial number"),
        (("OWN-1",), Rule(machine_uuid="of-no-pc"), "made for the PC with the UUID"),
    ],
)
def test_what_is_not_certain_is_asked_and_nothing_is_written(
    pc: Pc, serials: tuple[str, ...], rule: Rule, why: str
) -> None:
    for serial in serials:
        pc.disk(serial)
    person = Person("anchor", "")
    assert pc.start(person, rule) == "restart"
    assert why in person.said and "anchor is none of the words." in person.said
    assert "Any key stops it." not in person.said
    assert pc.as_before()


def test_the_word_of_a_disk_writes_that_one(pc: Pc) -> None:
    first, second = pc.disk("A"), pc.disk("B")
    assert pc.start(Person("keel"), attended=True) == "off"
    assert pc.restored(second) and not pc.restored(first)


def test_attended_even_the_own_disk_is_asked_for(pc: Pc) -> None:
    own = pc.disk("OWN-1")
    person = Person("rudder")
    assert pc.start(person, attended=True) == "off"
    assert "Any key stops it." not in person.said and pc.restored(own)


@pytest.mark.parametrize("count", [0, 1])
def test_without_a_target_nothing_is_asked(pc: Pc, count: int) -> None:
    """There is no disk; or the only one is what holds the medium."""
    held = pc.disk("STICK") if count else Path("/dev/sr0")
    person = Person()
    assert pc.start(person, Rule(only_fixed=True), held_by=held) == "off"
    assert "this PC has no fixed disk; nothing was written." in person.said
    assert "What helps: " in person.said and "Word: " not in person.said
    assert pc.as_before()


@pytest.mark.parametrize(
    ("discs", "less", "says"),
    [
        (1, 0, "sectors of 4096 bytes"),
        (2, 0, "sectors of 4096 bytes"),
        (1, 20 << 20, ""),
        # What is free in the last partition may be given up, but not with several discs.
        (2, 1 << 20, "is not made smaller"),
    ],
)
def test_a_disk_that_does_not_fit_is_refused_before_the_first_write(
    pc: Pc, discs: int, less: int, says: str
) -> None:
    path = filled(pc.room / "target", pc.made.size - less)
    with attached(path, 512 if less else 4096) as device:
        pc.plug(Path(device), "OWN-1")
        person = Person()
        assert pc.start(person, discs=discs) == "off"
        assert "It did not work: " in person.said and says in person.said, person.said
        assert "nothing was written" in person.said and "What helps: " in person.said
        assert pc.as_before()
