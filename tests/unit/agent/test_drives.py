# SPDX-License-Identifier: GPL-3.0-or-later
"""What an optical drive says from one look to the next: closing, empty, blank, foreign, changed.

No host of these tests has such a drive: what its kernel would answer is played here, and
tests/storage/test_media_trip.py has real ones in a virtual PC.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.engine import drives
from slipway.engine.drives import Drives
from slipway.engine.errors import ToolError
from slipway.format import MediaSet, serialize_set

SR0 = Path("/dev/sr0")
# Linux, include/uapi/linux/cdrom.h.
NO_DISC, TRAY_OPEN, NOT_READY, DISC_OK = 1, 2, 3, 4


@dataclass
class Bay:
    """One drive: what its kernel says now. ``disc``: a folder, "blank" or "unreadable"."""

    room: Path
    status: int = NO_DISC
    disc: Path | str = ""
    changed: bool = False
    reads: int = 0

    def close(self, disc: Path | str) -> None:
        self.status, self.disc, self.changed = DISC_OK, disc, True

    def disc_of_set(self, number: int) -> Path:
        folder = self.room / f"disc{number}"
        folder.mkdir()
        about = MediaSet("1" * 64, "pc", "20260101T000000Z", "2" * 64, number, ("A", "B"), (0, 1))
        (folder / "set.json").write_bytes(serialize_set(about))
        return folder


@pytest.fixture
def bay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bay:
    made = Bay(tmp_path)
    device = drives._Device(SR0, "rom", SR0, True)

    def kind(_: object) -> str:
        made.reads += 1
        return "" if made.disc == "blank" else "iso9660"

    def mount(self: Drives, device: Path, *_: object) -> Path:
        if not isinstance(made.disc, Path):
            raise ToolError("mount ended with 32: can't read superblock")
        self._mounts.setdefault(device, []).append(made.disc)
        return made.disc

    def changed(_: object) -> bool:
        was, made.changed = made.changed, False
        return was

    monkeypatch.setattr(drives, "_devices", lambda: [device])
    monkeypatch.setattr(drives, "_status", lambda _: made.status)
    monkeypatch.setattr(drives, "_kind", kind)
    monkeypatch.setattr(drives, "_changed", changed)
    monkeypatch.setattr(drives, "sizes", lambda _: (1, 1))
    monkeypatch.setattr(drives, "run", lambda *_, **__: None)
    monkeypatch.setattr(drives, "_AUTOCLOSE", tmp_path / "autoclose")
    monkeypatch.setattr(Drives, "_mount", mount)
    return made


def numbers(found: Drives) -> list[int]:
    return [each.about.disc for each in found.look()]


def test_a_drive_that_closes_late_is_looked_at_again(bay: Bay) -> None:
    found, disc = Drives(), bay.disc_of_set(2)
    for status in (NO_DISC, TRAY_OPEN, NOT_READY, NOT_READY):
        bay.status = status
        # Nothing is read from it, and nobody is told of a bad disc.
        assert numbers(found) == [] and found.strange == {} and bay.reads == 0
    bay.close(disc)
    assert numbers(found) == [2]
    # One that is busy for a moment has not lost its disc, one that was opened has.
    bay.status = NOT_READY
    assert numbers(found) == [2]
    bay.status = TRAY_OPEN
    assert numbers(found) == []


@pytest.mark.parametrize(
    ("disc", "says"),
    [
        ("blank", "it is blank, or it can't be read"),
        ("unreadable", "it can't be read"),
        ("foreign", "it is not one of Slipway's"),
    ],
)
def test_what_is_no_disc_of_a_set_is_said_once_read(bay: Bay, disc: str, says: str) -> None:
    found = Drives()
    folder = bay.room / "foreign"
    folder.mkdir()
    bay.close(folder if disc == "foreign" else disc)
    assert numbers(found) == [] and found.strange == {SR0: says}
    # A drive is not worn by reading it each second.
    bay.changed = False
    reads = bay.reads
    assert numbers(found) == [] and found.strange == {SR0: says} and bay.reads == reads
    # Another disc is looked at, and what was said of the first is forgotten.
    bay.close(bay.disc_of_set(1))
    assert numbers(found) == [1] and found.strange == {}
