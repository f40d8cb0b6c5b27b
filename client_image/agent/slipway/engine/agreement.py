"""What can only be judged when all disks of a backup are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from slipway.engine.content.base import Policy
from slipway.engine.content.spread import Share
from slipway.engine.errors import SlipwayError, SourceRefused
from slipway.engine.mapping import DiskMap, Mapped, saved_whole, volume_id
from slipway.engine.mirrors import judged
from slipway.engine.table import MIB

_ASLEEP = "its system hibernates, and may have in its memory what is in use here"
_VERIFIED = "a partition with hashes is beside it, which may be of its blocks, free ones as well"


def settled(maps: Sequence[DiskMap], unclean: Policy) -> list[DiskMap]:
    """The maps, with what one partition means for another."""
    maps = judged(maps, unclean)
    if any(part.decision.asleep for each in maps for part in each.parts):
        maps = [_changed(each, _not_replayed) for each in maps]
    maps = [_changed(each, _verified) for each in maps]
    known = _Known.of(maps)
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
    return saved_whole(disk_map, part, _ASLEEP) if part.decision.replayed else part


def _verified(disk_map: DiskMap, part: Mapped) -> Mapped:
    """Save whole what hashes beside it may belong to: of that size, or little larger."""
    sizes = [each.decision.hashes for each in disk_map.parts if each.decision.hashes]
    fits = any(each <= part.stretch.size <= each + each // 8 + MIB for each in sizes)
    if part.decision.method == "used" and fits:
        return saved_whole(disk_map, part, _VERIFIED)
    return part


@dataclass(frozen=True)
class _Known:
    """The parts of spread things that are here."""

    ids: set[str]
    things: Counter[str]
    """How many parts there are by the thing's id."""
    unseen: Counter[str]
    """How many of them were not looked into, or in vain: only blkid's id is known."""

    @classmethod
    def of(cls, maps: Sequence[DiskMap]) -> _Known:
        parts = [part for each in maps for part in each.parts]
        shares = [share for part in parts for share in part.decision.shares]
        ids = {_plain(part.uuid) for part in parts} | {share.own for share in shares}
        unseen = Counter(
            _plain(part.uuid)
            for part in parts
            if part.uuid and not part.decision.shares and (part.asked or part.error)
        )
        return cls(ids, Counter(share.id for share in shares) + unseen, unseen)

    def lacking(self, share: Share) -> list[str]:
        """What of the thing is not here."""
        names = [name for member, name in share.members if member not in self.ids]
        if len(names) <= self.unseen[share.id]:
            names = []
        if (few := share.count - self.things[share.id]) > 0:
            names.append(f"{few} of {share.count}")
        return names


def _plain(uuid: str) -> str:
    return uuid.replace("-", "")


def _complete(disk_map: DiskMap, part: Mapped, known: _Known) -> Mapped:
    """Refuse a part of something that is not all here."""
    for share in part.decision.shares:
        lacking = known.lacking(share)
        if lacking and part.error is None and not part.asked:
            name = volume_id(disk_map.id, part.stretch.partition)
            error = SourceRefused(
                f"{name} ({part.content}) is a part of the {share.thing}, and other parts of it "
                f"are not among these disks: {', '.join(lacking)}",
                f"save all its disks in one image, take the others out of the {share.thing}, or "
                f"save it sector by sector with --whole {name}"
                + (f"; {share.remedy}" if share.remedy else ""),
            )
            return replace(part, error=error)
    return part
