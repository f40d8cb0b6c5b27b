# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI boot entries: which of them the image's machine had, and making them anew on the target.

A failure here is a warning, never an error: the disk is restored, and firmware also finds
`\\EFI\\BOOT\\BOOTX64.EFI` without an entry.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slipway.engine.devices import clean
from slipway.engine.errors import SlipwayError, ToolError
from slipway.engine.result import BootEntryResult
from slipway.engine.run import run
from slipway.engine.selection import is_whole
from slipway.format import BootEntry, Machine, Manifest, TablePartition

if TYPE_CHECKING:
    # A backup reads entries, too, and knows of no target.
    from slipway.engine.match import Pair

_LIMIT = 64
_CURRENT = re.compile(r"^BootCurrent: ([0-9A-Fa-f]{4})$", re.MULTILINE)
_ORDER = re.compile(r"^BootOrder: ([0-9A-Fa-f,]+)$", re.MULTILINE)
# Label and device path stand with a tab between them; older versions put spaces there.
_ENTRY = re.compile(
    r"^Boot(?P<number>[0-9A-Fa-f]{4})(?P<active>\*?)\s+(?P<label>.*?)(?:\t| {2,}| (?=HD\())"
    r".*?HD\(\d+,(?P<place>[^)]*)\)/?File\((?P<loader>[^)]*)\)",
    re.MULTILINE,
)
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Hexadecimal, with or without 0x, and in front of the id or behind it.
_SECTORS = re.compile(r"(?:^|,)(?:0x)?([0-9a-fA-F]{1,16}),(?:0x)?([0-9a-fA-F]{1,16})(?:,|$)")


@dataclass(frozen=True)
class _Listed:
    number: str
    active: bool
    entry: BootEntry
    start: int
    """Where its partition begins, in sectors."""
    sectors: int


@dataclass(frozen=True)
class _Place:
    """Where the partition of an entry lies after the restore; in sectors."""

    disk: str
    number: int
    start: int
    sectors: int


@dataclass(frozen=True)
class BootMenu:
    """What the firmware would start, as far as it lies in a partition."""

    current: str = ""
    order: tuple[str, ...] = ()
    entries: tuple[_Listed, ...] = ()

    def find(self, wanted: BootEntry, places: Sequence[_Place]) -> _Listed | None:
        """The active entry that starts the same loader from the same partition, where it is now."""
        fitting = [each for each in self._alike(wanted) if each.active and _is_at(each, places)]
        return next(iter(sorted(fitting, key=lambda each: each.number not in self.order)), None)

    def stale(self, wanted: BootEntry, places: Sequence[_Place]) -> list[_Listed]:
        """Entries of that loader that say another place for its partition."""
        return [each for each in self._alike(wanted) if not _is_at(each, places)]

    def _alike(self, wanted: BootEntry) -> Iterator[_Listed]:
        return (
            each
            for each in self.entries
            if each.entry.partition == wanted.partition
            and each.entry.loader.lower() == wanted.loader.lower()
        )

    def with_first_after_current(self, number: str) -> list[str]:
        """The boot order with an entry behind the one that started this session.

        That is the network: a PC that no longer boots over it could not be imaged again.
        """
        order = [each for each in self.order if each != number]
        at = order.index(self.current) + 1 if self.current in order else 0
        return [*order[:at], number, *order[at:]]


def parse(text: str) -> BootMenu:
    """Read the output of `efibootmgr -v`."""
    current, order = _CURRENT.search(text), _ORDER.search(text)
    return BootMenu(
        current[1].upper() if current else "",
        tuple(order[1].upper().split(",")) if order else (),
        tuple(_listed(text)),
    )


def _listed(text: str) -> Iterator[_Listed]:
    for found in _ENTRY.finditer(text):
        if guid := _GUID.search(found["place"]):
            entry = BootEntry(clean(found["label"]), clean(found["loader"]), guid[0].lower())
            sectors = _SECTORS.search(found["place"])
            place = (int(sectors[1], 16), int(sectors[2], 16)) if sectors else (0, 0)
            yield _Listed(found["number"].upper(), bool(found["active"]), entry, *place)


def _is_at(entry: _Listed, places: Sequence[_Place]) -> bool:
    """Whether an entry says the partition's place as it is; some firmware asks for that, too.

    UEFI 2.10, 3.1.2 finds a partition by its id alone.
    """
    return not entry.sectors or any(
        (entry.start, entry.sectors) == (place.start, place.sectors) for place in places
    )


def recorded(machine: Machine) -> Machine:
    """The machine with the boot entries that its firmware has now, in the order it tries them."""
    if machine.firmware != "uefi":
        return machine
    try:
        menu = _read()
    except SlipwayError:
        # A backup is not worth less because the firmware keeps no variables.
        return machine
    ranked = {number: rank for rank, number in enumerate(menu.order)}
    tried = [each for each in menu.entries if each.number in ranked and each.active]
    tried.sort(key=lambda each: ranked[each.number])
    return replace(machine, boot_entries=tuple(each.entry for each in tried[:_LIMIT]))


def restore_entries(
    manifest: Manifest, pairs: Sequence[Pair], firmware: str, write: bool
) -> tuple[BootEntryResult, ...]:
    """Make the image's entries for the restored disks, and read them back.

    Without `write` only say which are missing.
    """
    if firmware != "uefi":
        return ()
    # Each is put in front of those made before it, so the first of the image comes last.
    wanted = [each for each in manifest.machine.boot_entries if _places(each, pairs)]
    return tuple(reversed([_restore(each, pairs, write) for each in reversed(wanted)]))


def boot_next(partitions: Collection[str]) -> bool:
    """Have the firmware start one of these partitions once, at the next boot; whether it will.

    That is the firmware's own way to a disk: no boot loader of ours stands before it.
    """
    try:
        menu = _read()
        ranked = {number: rank for rank, number in enumerate(menu.order)}
        fitting = [each for each in menu.entries if each.active and each.number in ranked]
        fitting = [each for each in fitting if each.entry.partition in partitions]
        if not fitting:
            return False
        first = min(fitting, key=lambda each: ranked[each.number])
        run(["efibootmgr", "--quiet", f"--bootnext={first.number}"])
    except SlipwayError:
        return False
    return True


def _restore(entry: BootEntry, pairs: Sequence[Pair], write: bool) -> BootEntryResult:
    result = BootEntryResult(entry.label, entry.loader, "present")
    places = _places(entry, pairs)
    try:
        menu = _read()
        found = menu.find(entry, places)
        if found is not None and found.number in menu.order:
            return result
        if not write:
            return replace(result, state="missing")
        if found is None:
            _create(entry, places[0])
            menu = _read()
            found = menu.find(entry, places)
        if found is not None:
            order = menu.with_first_after_current(found.number)
            run(["efibootmgr", "--quiet", f"--bootorder={','.join(order)}"])
            for old in menu.stale(entry, places):
                run(["efibootmgr", "--quiet", f"--bootnum={old.number}", "--delete-bootnum"])
            menu = _read()
        if found is None or found.number not in menu.order:
            raise ToolError("the firmware does not show the entry after it was written")
    except SlipwayError as error:
        return replace(result, state="failed", problem=error.message)
    return replace(result, state="created")


def _create(entry: BootEntry, place: _Place) -> None:
    run([
        "efibootmgr", "--quiet", "--create-only", f"--disk={place.disk}", f"--part={place.number}",
        f"--label={entry.label}", f"--loader={entry.loader}",
    ])  # fmt: skip


def _places(entry: BootEntry, pairs: Sequence[Pair]) -> list[_Place]:
    """Where the entry's partition lies, if it is on a disk that was restored whole."""
    return [
        _place(pair, line)
        for pair in pairs
        if is_whole(pair.image) and not pair.target.is_file
        for line in pair.image.table.partitions
        if line.uuid.lower() == entry.partition
    ]


def _place(pair: Pair, line: TablePartition) -> _Place:
    sector, fit = pair.image.logical_sector, pair.fit
    start = fit.starts.get(line.number, line.start * sector) // sector
    end = fit.ends.get(line.number, (line.start + line.size) * sector) // sector
    return _Place(str(pair.target.path), line.number, start, end - start)


def _read() -> BootMenu:
    return parse(run(["efibootmgr", "-v"]).stdout)
