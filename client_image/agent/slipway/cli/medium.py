# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC that was started from a restore medium: what the person in front of it sees and is asked.

There is no network and no server. Whatever is not certain is asked, and nothing is written before
the whole medium, or the first of several, was read and found sound.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from slipway.cli.views import progress_line
from slipway.engine.drives import Drives, Medium
from slipway.engine.errors import ImageDamaged, Interrupted, SlipwayError, TargetRefused, UsageError
from slipway.engine.lazy import free_memory
from slipway.engine.progress import Meter, Record
from slipway.engine.set_store import SetStore
from slipway.engine.store import damaged
from slipway.engine.target_rule import Rule, parse_rule
from slipway.format import ImageRef, Manifest, MediaSet
from slipway.format.units import size

End = Literal["off", "restart", "own-disk"]
Mode = Literal["write", "check", "own-disk"]

_POLL = 1.0
_UNTOUCHED = "nothing was written"
_READ_FAILED = 600.0


class Terminal(Protocol):
    """What the person sees and types on: `slipway.cli.terminals.Terminals`."""

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines."""

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        """Return a line that was typed, or None."""

    def pressed(self, seconds: float) -> bool:
        """Wait, and say whether a key was pressed."""

    def wait(self, seconds: float) -> None:
        """Wait, or until Enter."""


@dataclass(frozen=True)
class About:
    """What the medium was made for, as its overlay says."""

    set: str
    unattended: bool
    countdown: int
    rule: Rule

    @classmethod
    def load(cls, path: Path) -> About:
        """Read it; UsageError for what no builder made."""
        try:
            facts = json.loads(path.read_bytes())
            rule = parse_rule(facts["rule"])
            return cls(facts["set"], bool(facts["unattended"]), int(facts["countdown"]), rule)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} can't be read: {error}", "make the medium anew") from error


def chosen_mode(command_line: str) -> Mode:
    """What was chosen in the medium's menu, which stands on the kernel's command line."""
    words = command_line.split()
    return next((each for each in get_args(Mode) if f"slipway.medium={each}" in words), "check")


class MediumTalk:
    """One stay on a medium, from the search for it to what the PC does next."""

    def __init__(self, about: About, drives: Drives, terminal: Terminal) -> None:
        """Nothing is mounted yet."""
        self._about = about
        self._drives = drives
        self._terminal = terminal
        self._asking = False
        self._store: SetStore | None = None
        self._title = "Slipway"
        self.this_pc = ""
        """The PC in one line, once it is known."""

    def run(self, mode: Mode, write: Callable[[SetStore, Manifest, MediumTalk], End]) -> End:
        """Go through with what was chosen in the menu."""
        try:
            store = self._open()
            manifest = store.manifest(ImageRef(store.about.image, store.about.version))
            if mode == "check":
                return self._check(store, manifest)
            return write(store, manifest, self)
        except Interrupted:
            raise
        except SlipwayError as error:
            # Who is refused as a target was not written; others may say so themselves.
            untouched = isinstance(error, TargetRefused) and _UNTOUCHED not in error.message
            said = f"{error.message}; {_UNTOUCHED}" if untouched else error.message
            self.show(
                f"It did not work: {said}.",
                "",
                f"What helps: {error.remedy}.",
                "",
                "This PC switches off in ten minutes, or when you press Enter.",
            )
            self._terminal.wait(_READ_FAILED)
            return "off"

    @property
    def about(self) -> About:
        """What the medium was made for."""
        return self._about

    @property
    def terminal(self) -> Terminal:
        """Where to ask."""
        return self._terminal

    def disks(self) -> set[Path]:
        """Devices that hold media, which are never targets."""
        return {each.disk for those in self._drives.media.values() for each in those}

    def show(self, *lines: str) -> None:
        """Show lines below the title."""
        self._terminal.draw([self._title, self.this_pc, "", *lines])

    def progress(self, record: Record) -> None:
        """Show how far it is, unless a disc is being asked for."""
        if not self._asking:
            self.show("Do not switch this PC off.", "", progress_line(record.to_json()))

    def _open(self) -> SetStore:
        """The store on the discs that are at hand; waits for drives that are slow to appear."""
        self.show("Looking for the medium ...")
        while True:
            mine = [each for each in self._drives.look() if each.about.id == self._about.set]
            if mine:
                break
            self.show("Looking for the medium ...", *self._strangers())
            time.sleep(_POLL)
        about = mine[0].about
        self._title = f"Slipway   {about.image}@{about.version}"
        for medium in mine:
            _refuse_short(medium)
        folders = [each.folder for each in mine]
        self._store = SetStore(folders, self._ask_for, memory=free_memory())
        return self._store

    def _ask_for(self, about: MediaSet, disc: int) -> Path:
        """Have a disc put in, whatever else is put in before it."""
        self._asking = True
        try:
            asked, said = False, list[str]()
            while True:
                media = self._drives.look()
                if self._store is not None:
                    self._store.keep({each.folder for each in media})
                wrong = self._wrong(about, disc, media) if asked else []
                for medium in media:
                    if medium.about.id == about.id and medium.about.disc == disc:
                        if medium.size >= medium.stated:
                            self.show(f"Reading {about.name(disc)} ...")
                            return medium.folder
                        wrong.append(_short(medium))
                if wrong or not asked:
                    self._give_back()
                asked, said = True, wrong or said
                self.show(
                    f"Insert {about.name(disc)}.",
                    "A disc, or a stick with the disc's file on it.",
                    "",
                    *said,
                )
                time.sleep(_POLL)
        finally:
            self._asking = False

    def _wrong(self, about: MediaSet, disc: int, media: Sequence[Medium]) -> list[str]:
        """What was put in instead, for whoever put it in."""
        said = [
            f"That was {_called(each.about, about)}. Disc {disc} is needed."
            for each in media
            if each.optical and (each.about.id, each.about.disc) != (about.id, disc)
        ]
        said += [f"That disc is of no use: {why}." for why in self._drives.strange.values()]
        return said

    def _strangers(self) -> list[str]:
        return [f"{path}: {why}" for path, why in self._drives.strange.items()]

    def _give_back(self) -> None:
        for drive in self._drives.optical():
            self._drives.eject(drive)

    def _check(self, store: SetStore, manifest: Manifest) -> End:
        meter = Meter(self.progress)
        with meter.phase("verify", manifest.chunk_bytes):
            for disc in range(1, store.discs + 1):
                if problems := store.check(manifest, disc, meter):
                    raise damaged(problems, store.about.name(disc))
        what = "This medium is" if store.discs == 1 else f"All {store.discs} discs are"
        self.show(
            f"{what} sound: {size(manifest.chunk_bytes)} were read and are what was saved.",
            "Nothing was written. Press Enter for the menu.",
        )
        self._terminal.wait(_READ_FAILED)
        return "restart"


def _refuse_short(medium: Medium) -> None:
    if medium.size < medium.stated:
        raise ImageDamaged(
            f"{_short(medium)}; nothing was written", "write the medium anew, and read it back"
        )


def _short(medium: Medium) -> str:
    return (
        f"{medium.about.name()} was cut short: it has {medium.size} bytes, and says itself that it "
        f"has {medium.stated}"
    )


def _called(found: MediaSet, wanted: MediaSet) -> str:
    if found.id == wanted.id:
        return f"disc {found.disc}"
    return f"{found.name()}, which is another set"
