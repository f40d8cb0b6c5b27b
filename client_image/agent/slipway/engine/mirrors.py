"""Mirrors (RAID 1): whether their members agree, and what is in use on any of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from slipway.engine.content.base import Policy, ways_out
from slipway.engine.content.spread import Mirror
from slipway.engine.errors import SourceRefused
from slipway.engine.mapping import DiskMap, Mapped, first_byte, saved_whole, volume_id
from slipway.format import Extents

_SYNC = (
    "start the array in its own system, let it get in sync (/proc/mdstat says so), and stop it "
    "or shut that system down"
)


@dataclass(frozen=True)
class _Member:
    disk: DiskMap
    part: Mapped
    mirror: Mirror

    @property
    def name(self) -> str:
        return volume_id(self.disk.id, self.part.stretch.partition)

    @property
    def inner(self) -> Extents:
        """What is in use of the mirror, by this member."""
        end = self.mirror.start + self.mirror.size
        return self.part.used.clip(self.mirror.start, end).shift(-self.mirror.start)


def judged(maps: Sequence[DiskMap], unclean: Policy) -> list[DiskMap]:
    """The maps, with members of mirrors refused or whole where they are not in sync.

    Those that are in sync get one map: what is in use by any of them. They may differ in blocks
    that are free, and where a disk or cable went wrong in others; each is saved as it is.
    """
    changed: dict[str, Mapped] = {}
    for members in _mirrors(maps):
        why = _trouble(members)
        inner = Extents.of(span for each in members for span in each.inner)
        for each in members:
            changed[each.name] = _refused(each, why, unclean) if why else _with(each, inner)
    return [
        replace(
            disk,
            parts=tuple(
                changed.get(volume_id(disk.id, part.stretch.partition), part)
                if part.decision.mirror
                else part
                for part in disk.parts
            ),
        )
        for disk in maps
    ]


def _mirrors(maps: Iterable[DiskMap]) -> Iterable[list[_Member]]:
    found = defaultdict[str, list[_Member]](list)
    for disk in maps:
        for part in disk.parts:
            mirror = part.decision.mirror
            if mirror is not None and part.error is None:
                found[mirror.id].append(_Member(disk, part, mirror))
    return found.values()


def _trouble(members: Sequence[_Member]) -> str:
    """Why the map of one is not that of all; empty when it is."""
    own = [f"{each.name}: {each.mirror.trouble}" for each in members if each.mirror.trouble]
    if own:
        return ", ".join(own)
    if len({(each.mirror.events, each.mirror.size) for each in members}) > 1:
        return (
            "they differ ("
            + ", ".join(
                f"{each.name}: {each.mirror.events} events, {each.mirror.size} bytes"
                for each in members
            )
            + ")"
        )
    return ""


def _refused(member: _Member, why: str, unclean: Policy) -> Mapped:
    if unclean == "whole":
        return saved_whole(member.disk, member.part, f"a mirror that is not in sync: {why}")
    error = SourceRefused(
        f"{member.name} ({member.part.content}) is a member of a RAID array whose members are not "
        f"in sync, {member.mirror.name}: {why}",
        f"{_SYNC}, {ways_out(member.name)}",
    )
    return replace(member.part, error=error)


def _with(member: _Member, inner: Extents) -> Mapped:
    used = inner.shift(member.mirror.start).aligned(member.disk.disk.logical_sector)
    start = first_byte(member.disk)
    return replace(member.part, used=member.part.used.union(used).without(0, start))
