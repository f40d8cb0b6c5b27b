"""What can only be judged when all disks of a backup are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from slipway.engine.content.base import Decision
from slipway.engine.errors import SlipwayError, SourceRefused
from slipway.engine.mapping import DiskMap, Mapped
from slipway.format import Extents

_ASLEEP = "its system hibernates, and may have in its memory what is in use here"


def settled(maps: Sequence[DiskMap]) -> list[DiskMap]:
    """The maps, with what one partition means for another."""
    if any(part.decision.asleep for each in maps for part in each.parts):
        maps = _each_part(maps, _not_replayed)
    return list(maps)


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


def _each_part(maps: Sequence[DiskMap], change: Callable[[Mapped], Mapped]) -> list[DiskMap]:
    return [replace(each, parts=tuple(change(part) for part in each.parts)) for each in maps]


def _not_replayed(part: Mapped) -> Mapped:
    if not part.decision.replayed:
        return part
    used = Extents.whole(part.stretch.size)
    return replace(part, used=used, decision=Decision("whole", _ASLEEP))
