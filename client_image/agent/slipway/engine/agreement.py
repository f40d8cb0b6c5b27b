"""What can only be judged when all disks of a backup are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from slipway.engine.content.base import Decision
from slipway.engine.errors import SlipwayError, SourceRefused
from slipway.engine.mapping import DiskMap, Mapped, volume_id
from slipway.engine.table import MIB
from slipway.format import Extents

_ASLEEP = "its system hibernates, and may have in its memory what is in use here"
_VERIFIED = "a partition with hashes is beside it, which may be of its blocks, free ones as well"


def settled(maps: Sequence[DiskMap]) -> list[DiskMap]:
    """The maps, with what one partition means for another."""
    if any(part.decision.asleep for each in maps for part in each.parts):
        maps = [_changed(each, _not_replayed) for each in maps]
    maps = [_changed(each, _verified) for each in maps]
    # Those that are asked for whole were not looked into: blkid's id has to do.
    known = {part.uuid.replace("-", "") for each in maps for part in each.parts}
    known |= {share.own for each in maps for part in each.parts for share in part.decision.shares}
    return [_changed(each, lambda disk, part: _complete(disk, part, known)) for each in maps]


def refuse_refused(maps: Sequence[DiskMap]) -> None:
    """Raise when a partition can't be saved; all of them are named."""
    errors = [part.error for each in maps for part in each.parts if part.error is not None]
    for error in errors:
        if not isinstance(error, SourceRefused):
            raise error
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SourceRefused(_joined(errors, "message"), _joined(errors, "remedy"))


def _joined(errors: Sequence[SlipwayError], what: str) -> str:
    return "; ".join(dict.fromkeys(str(getattr(error, what)) for error in errors))


def _changed(disk_map: DiskMap, change: Callable[[DiskMap, Mapped], Mapped]) -> DiskMap:
    return replace(disk_map, parts=tuple(change(disk_map, part) for part in disk_map.parts))


def _not_replayed(disk_map: DiskMap, part: Mapped) -> Mapped:
    return _whole(disk_map, part, _ASLEEP) if part.decision.replayed else part


def _verified(disk_map: DiskMap, part: Mapped) -> Mapped:
    """Save whole what hashes beside it may belong to: of that size, or little larger."""
    sizes = [each.decision.hashes for each in disk_map.parts if each.decision.hashes]
    fits = any(each <= part.stretch.size <= each + each // 8 + MIB for each in sizes)
    if part.decision.method == "used" and fits:
        return _whole(disk_map, part, _VERIFIED)
    return part


def _whole(disk_map: DiskMap, part: Mapped, why: str) -> Mapped:
    # Without a table, the first sector is a segment of its own.
    start = disk_map.disk.logical_sector if disk_map.table.kind == "none" else 0
    used = Extents.of([(start, part.stretch.size)])
    return replace(part, used=used, decision=Decision("whole", why, shares=part.decision.shares))


def _complete(disk_map: DiskMap, part: Mapped, known: set[str]) -> Mapped:
    """Refuse a part of something that is not all here."""
    for share in part.decision.shares:
        lacking = [name for member, name in share.members if member not in known]
        if lacking and part.error is None and not part.asked:
            name = volume_id(disk_map.id, part.stretch.partition)
            error = SourceRefused(
                f"{name} ({part.content}) is a part of the {share.thing}, and other parts of it "
                f"are not among these disks: {', '.join(lacking)}",
                f"save all its disks in one image, take the others out of the {share.thing}, or "
                f"save it sector by sector with --whole {name}",
            )
            return replace(part, error=error)
    return part
