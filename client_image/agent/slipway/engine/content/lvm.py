# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM: a physical volume is its metadata and what is in use of its logical volumes, shifted."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from slipway.engine.content.base import Decision, Inner, Look, Volume
from slipway.engine.content.lvm_text import parse
from slipway.engine.content.spread import Share
from slipway.engine.devices import clean
from slipway.engine.dm import have_device_mapper, joined
from slipway.engine.errors import ToolError
from slipway.engine.loop import read_only_loop
from slipway.engine.run import run
from slipway.format import Extents

_UNIT = 512
# Before and behind the text that pvck dumps.
_LINE = "\n  ---\n"


@dataclass(frozen=True)
class Area:
    """A run of extents of this physical volume, in bytes; `logical` is its place in the volume."""

    start: int
    size: int
    logical: int


@dataclass(frozen=True)
class LogicalVolume:
    """A logical volume, and what of it lies here."""

    name: str
    areas: tuple[Area, ...]
    whole: str
    """Why its areas are saved whole; empty when its content may be looked at."""


@dataclass(frozen=True)
class PhysicalVolume:
    """What a volume group says about one of its physical volumes, in bytes."""

    start: int
    """Where the extents begin."""
    end: int
    volumes: tuple[LogicalVolume, ...]
    shares: tuple[Share, ...] = ()


class Lvm:
    """Nothing is activated: pvck prints the metadata, and the rest is arithmetic."""

    types = frozenset({"LVM2_member"})

    def __init__(self, look: Look) -> None:
        """`look` decides about the content of a logical volume, and maps it."""
        self._look = look

    def decide(self, volume: Volume) -> Decision:
        """Look into every logical volume; what can't be saved soundly there refuses it all."""
        group = _read(volume)
        if isinstance(group, str):
            return Decision("whole", group)
        words, inner = [], []
        for name, found, _ in self._contents(volume, group):
            words.append(f"{name}: {found}")
            inner += [found.decision] if isinstance(found, Inner) else []
        return Decision(
            "used",
            ", ".join(words),
            replayed=any(each.replayed for each in inner),
            asleep=any(each.asleep for each in inner),
            shares=group.shares,
        )

    def used(self, volume: Volume) -> Extents:
        """All outside the extents, and what is in use inside the volumes."""
        group = _read(volume)
        if isinstance(group, str):
            return Extents.whole(volume.size)
        ranges = [(0, group.start), (group.end, volume.size)]
        for _, _, used in self._contents(volume, group, mapped=True):
            ranges += used
        return Extents.of(ranges)

    def _contents(
        self, volume: Volume, group: PhysicalVolume, mapped: bool = False
    ) -> Iterator[tuple[str, Inner | str, list[tuple[int, int]]]]:
        for each in group.volumes:
            why = each.whole
            if not why and len(each.areas) > 1 and not have_device_mapper():
                why = "in pieces, and this kernel has no device-mapper"
            if why:
                yield each.name, f"whole, {why}", [(a.start, a.start + a.size) for a in each.areas]
                continue
            with _opened(volume, each) as inside:
                found = self._look(inside, mapped)
            yield each.name, found, list(_placed(found.used, each.areas))


@contextmanager
def _opened(volume: Volume, logical: LogicalVolume) -> Generator[Volume, None, None]:
    """The logical volume, read-only, without telling LVM."""
    size = sum(area.size for area in logical.areas)
    with (
        read_only_loop(volume.device, logical.areas[0].start, size, volume.sector)
        if len(logical.areas) == 1
        else joined(volume.device, [(area.start, area.size) for area in logical.areas])
    ) as device:
        yield replace(volume, device=device, size=size, inside=logical.name)


def _placed(used: Extents, areas: tuple[Area, ...]) -> Iterator[tuple[int, int]]:
    """Ranges of a logical volume as ranges of the physical one."""
    for area in areas:
        for start, end in used.within(area.logical, area.logical + area.size):
            yield start - area.logical + area.start, end - area.logical + area.start


def _read(volume: Volume) -> PhysicalVolume | str:
    """The volume's part of its group, or why there is none to rely on."""
    answer = run(["pvck", "--dump", "metadata", str(volume.device)], ok=None)
    _, _, text = answer.stdout.partition(_LINE)
    text, _, _ = text.partition(_LINE)
    if answer.code != 0 or not text.strip():
        return "it belongs to no volume group, or has no metadata"
    uuid = volume.fields.get("ID_FS_UUID", "").replace("-", "")
    try:
        return physical_volume(parse(text), uuid, volume.size)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ToolError(f"{volume.id}: LVM's metadata can't be read: {error!r}") from error


def physical_volume(metadata: dict[str, Any], uuid: str, size: int) -> PhysicalVolume | str:
    """Pick one physical volume, by its id without dashes, from a group's metadata."""
    [group] = [value for value in metadata.values() if isinstance(value, dict)]
    mine = [
        (name, each)
        for name, each in group["physical_volumes"].items()
        if each["id"].replace("-", "") == uuid
    ]
    if len(mine) != 1:
        return "its volume group does not know it"
    [(name, own)] = mine
    extent = group["extent_size"] * _UNIT
    start = own["pe_start"] * _UNIT
    end = start + own["pe_count"] * extent
    if not 0 < start <= end <= size or not extent:
        return "its volume group says that it is larger than it is"
    volumes = group.get("logical_volumes", {})
    needed = {word for each in volumes.values() for word in _words(each)}
    found = tuple(
        _logical(title, each, (name, start, extent), title in needed)
        for title, each in volumes.items()
    )
    if any(area.start + area.size > end for each in found for area in each.areas):
        return "its volume group says that it is larger than it is"
    return PhysicalVolume(
        start, end, tuple(each for each in found if each.areas), _shares(metadata, uuid)
    )


def _shares(metadata: dict[str, Any], own: str) -> tuple[Share, ...]:
    [(name, group)] = [pair for pair in metadata.items() if isinstance(pair[1], dict)]
    members = tuple(
        (each["id"].replace("-", ""), f"{title} ({clean(str(each.get('device', 'gone')))})")
        for title, each in group["physical_volumes"].items()
    )
    return (Share(f"volume group {clean(name)}", own, members),) if len(members) > 1 else ()


def _segments(volume: dict[str, Any]) -> list[dict[str, Any]]:
    found = [
        each for key, each in volume.items() if key.startswith("segment") and key[7:].isdigit()
    ]
    return sorted(found, key=lambda each: int(each["start_extent"]))


def _words(volume: dict[str, Any]) -> Iterator[str]:
    """Every name in a volume's segments: the volumes that it is made of, or depends on."""
    for segment in _segments(volume):
        for value in segment.values():
            words = value if isinstance(value, list) else [value]
            yield from (each for each in words if isinstance(each, str))


def _logical(
    name: str, volume: dict[str, Any], place: tuple[str, int, int], needed: bool
) -> LogicalVolume:
    own, start, extent = place
    areas, kinds, elsewhere = [], set(), False
    for segment in _segments(volume):
        count, kind = segment["extent_count"], segment["type"]
        lists = [value for value in segment.values() if isinstance(value, list)]
        pairs = [pair for each in lists for pair in zip(each[::2], each[1::2], strict=False)]
        here = [at for where, at in pairs if where == own and isinstance(at, int)]
        stripes = segment.get("stripe_count", 1) if kind == "striped" else 1
        kinds.add(kind if stripes == 1 else "striped over several")
        elsewhere = elsewhere or not here
        logical = segment["start_extent"] * extent
        size = -(-count // stripes) * extent
        areas += [Area(start + at * extent, size, logical) for at in here]
    return LogicalVolume(name, tuple(areas), _why_whole(volume, kinds, needed, elsewhere))


def _why_whole(volume: dict[str, Any], kinds: set[str], needed: bool, elsewhere: bool) -> str:
    """A volume's free blocks are free only when nobody else reads through it."""
    if needed:
        return "a snapshot, pool or array is made of it"
    if other := kinds - {"striped"}:
        return f"of kind {', '.join(sorted(other))}"
    if "VISIBLE" not in volume["status"]:
        return "a hidden part of another volume"
    return "partly on another disk" if elsewhere else ""
