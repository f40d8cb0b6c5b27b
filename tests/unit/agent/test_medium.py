# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody in front of a PC with a medium is told and asked; drives are folders here."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from slipway.cli.medium import About, End, MediumTalk, chosen_mode
from slipway.cli.medium_targets import choose
from slipway.engine import lazy
from slipway.engine.devices import BlockDisk
from slipway.engine.drives import Drives, Medium
from slipway.engine.errors import Interrupted, TargetRefused, UsageError
from slipway.engine.progress import Meter
from slipway.engine.set_store import SetStore
from slipway.engine.store import read_through
from slipway.engine.target_rule import Rule
from slipway.format import Identity, ImageRef, Manifest, MediaSet, serialize, serialize_set

ID, OTHER = "1" * 64, "2" * 64


class Person:
    """Sees what is drawn, types what it was told to."""

    def __init__(self, *typed: str | None) -> None:
        self.typed = list(typed)
        self.seen: list[str] = []

    def draw(self, lines: Sequence[str]) -> None:
        self.seen += [line for line in lines if line]

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        return self.typed.pop(0)

    def pressed(self, seconds: float) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        """Nobody waits in a test."""

    @property
    def said(self) -> str:
        return "\n".join(self.seen)


class Shelf(Drives):
    """One optical drive and who feeds it: a disc each time after the drive was opened."""

    def __init__(self, first: Medium, *later: Medium | str) -> None:
        super().__init__()
        self._later = list(later)
        self._put(first)

    def _put(self, what: Medium | str) -> None:
        self.media.clear()
        self.strange.clear()
        if isinstance(what, Medium):
            self.media[Path("/dev/sr0")] = [what]
        else:
            self.strange[Path("/dev/sr0")] = what

    def look(self) -> list[Medium]:
        return [each for those in self.media.values() for each in those]

    def optical(self) -> list[Path]:
        return [Path("/dev/sr0")]

    def eject(self, path: Path) -> None:
        self._put(self._later.pop(0))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.cli.medium._POLL", 0.0)
    monkeypatch.setattr(lazy, "_SHARE", 0.0)


@pytest.fixture
def discs(
    tmp_path: Path, image_maker: Callable[..., tuple[Manifest, dict[str, bytes]]]
) -> list[Medium]:
    """Three discs of one set, each with a third of the chunks."""
    content = random.Random(1).randbytes(10 << 20)
    manifest, chunks = image_maker(content, [(1 << 20, 9 << 20, [(0, 9 << 20)])])
    manifest = manifest.stamped("20261129T100000Z", "2026-11-29T10:00:00Z", 1)
    file = serialize(manifest)
    digest = hashlib.sha256(file).hexdigest()
    about = MediaSet(ID, "pc", manifest.version, digest, 1, ("A_1", "A_2", "A_3"), (0, 4, 7))
    made = []
    order = [each for each, _ in manifest.chunks()]
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        mine = replace(about, disc=number)
        (folder / "set.json").write_bytes(serialize_set(mine))
        for at, each in enumerate(order):
            if about.disc_of(at) == number:
                place = folder / "chunks" / each[:2]
                place.mkdir(parents=True, exist_ok=True)
                (place / each).write_bytes(chunks[each])
        made.append(Medium(Path("/dev/sr0"), folder, mine, True, 100, 100))
    (tmp_path / "1/images/pc").mkdir(parents=True)
    (tmp_path / f"1/images/pc/{manifest.version}.json").write_bytes(file)
    return made


def read_all(store: SetStore, manifest: Manifest, talk: MediumTalk) -> End:
    """In the restore's place: everything once, disc after disc."""
    for disc in range(1, store.discs + 1):
        assert store.check(manifest, disc, Meter()) == []
    return "off"


def about(**changes: object) -> About:
    return replace(About(ID, False, 30, Rule()), **changes)  # type: ignore[arg-type]


def test_wrong_discs_between_right_ones_are_named(discs: list[Medium]) -> None:
    one, two, three = discs
    foreign = replace(two, about=replace(two.about, id=OTHER))
    short = replace(two, size=50)
    drives = Shelf(
        one, three, foreign, "it is blank, or it can't be read", one, short, two, two, three
    )
    person = Person()
    assert MediumTalk(about(), drives, person).run("write", read_all) == "off"
    said = person.said
    places = [
        "Insert disc 2 of 3 of pc@20261129T100000Z (A_2).",
        "That was disc 3. Disc 2 is needed.",
        "which is another set. Disc 2 is needed.",
        "That disc is of no use: it is blank",
        "That was disc 1. Disc 2 is needed.",
        "was cut short: it has 50 bytes",
        "Reading disc 2 of 3",
        "Insert disc 3 of 3",
        "That was disc 2. Disc 3 is needed.",
        "Reading disc 3 of 3",
    ]
    found = [said.find(place) for place in places]
    assert -1 not in found and found == sorted(found), dict(zip(places, found, strict=True))


def test_a_disc_in_another_drive_is_not_asked_for(discs: list[Medium]) -> None:
    drives = Shelf(discs[0])
    drives.media[Path("/dev/sr1")] = discs[1:]
    person = Person()
    assert MediumTalk(about(), drives, person).run("check", read_all) == "restart"
    assert "Insert" not in person.said and "All 3 discs are sound" in person.said


def test_a_first_disc_that_was_cut_short_is_refused(discs: list[Medium]) -> None:
    person = Person()
    talk = MediumTalk(about(), Shelf(replace(discs[0], size=99)), person)
    assert talk.run("write", read_all) == "off"
    assert "cut short" in person.said and "nothing was written" in person.said


def test_a_stop_is_no_failure_to_be_read(discs: list[Medium]) -> None:
    def stopped(*_: object) -> End:
        raise Interrupted("stopped by SIGTERM")

    with pytest.raises(Interrupted):
        MediumTalk(about(), Shelf(discs[0]), Person()).run("write", stopped)


def test_the_whole_set_can_be_read_through(discs: list[Medium]) -> None:
    store = SetStore([each.folder for each in discs])
    assert store.images()[0].name == "pc"
    manifest = store.manifest(ImageRef("pc"))
    assert read_through(store, manifest, Meter()) == []


def disk(name: str, serial: str) -> BlockDisk:
    return BlockDisk(Path("/dev") / name, 10**9, 512, 512, Identity(serial, "", "SSD"))


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        (["keel"], "sdb"),
        ([" RUDDER "], "sda"),
        (["sda", "yes", "hull", "keel"], "sdb"),
        ([""], None),
        ([None], None),
        (["anchor", ""], None),
    ],
)
def test_only_the_word_of_a_disk_writes_it(
    image_maker: Callable[..., tuple[Manifest, dict[str, bytes]]],
    typed: list[str | None],
    chosen: str | None,
) -> None:
    manifest, _ = image_maker(bytes(2 << 20), [(1 << 20, 1 << 20, [(0, 4096)])])
    person = Person(*typed)
    disks = [disk("sda", "S1"), disk("sdb", "S2")]
    found = choose(
        manifest, disks, "why not", lambda *lines: person.draw(lines), lambda _: person.ask("", 1)
    )
    assert (found and found["disk0"].path.name) == chosen
    assert "serial S1" in person.said and "serial S2" in person.said and "Why not." in person.said


def test_without_a_disk_nobody_is_asked(
    image_maker: Callable[..., tuple[Manifest, dict[str, bytes]]],
) -> None:
    manifest, _ = image_maker(bytes(2 << 20), [(1 << 20, 1 << 20, [(0, 4096)])])
    with pytest.raises(TargetRefused, match="nothing was written"):
        choose(manifest, [], "this PC has no fixed disk", lambda *lines: None, lambda _: "rudder")


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("quiet slipway.medium=write systemd.unit=x", "write"),
        ("slipway.medium=check", "check"),
        ("slipway.medium=own-disk", "own-disk"),
        ("quiet", "check"),
        ("slipway.medium=wri", "check"),
        ("xslipway.medium=write", "check"),
    ],
)
def test_nothing_is_written_unless_the_menu_said_so(line: str, mode: str) -> None:
    assert chosen_mode(line) == mode


@pytest.mark.parametrize("facts", [{}, [], {"set": 1}, {"rule": {"x": 1}}])
def test_an_overlay_that_says_nothing_is_refused(tmp_path: Path, facts: object) -> None:
    path = tmp_path / "medium.json"
    path.write_text(json.dumps(facts))
    with pytest.raises(UsageError):
        About.load(path)
