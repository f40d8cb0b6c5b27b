"""Parts of an image: single disks or partitions to restore, and partitions that are to grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from slipway.engine.errors import TargetRefused, UsageError
from slipway.engine.table import is_container
from slipway.format import Disk, Manifest, Segment, Table

LAST = "last"


@dataclass(frozen=True)
class Growing:
    """A partition that shall grow: its name on its disk, or `last`."""

    part: str
    move: bool = False
    """Whether what lies behind it moves out of its way."""


def select_disks(manifest: Manifest, names: Sequence[str]) -> Manifest:
    """The image with nothing but these disks, named like `disk0`; all of it without names."""
    if not names:
        return manifest
    known = [disk.id for disk in manifest.disks]
    if strangers := sorted(set(names) - set(known)):
        raise UsageError(
            f"--disk {strangers[0]}: the image has no such disk", f"it has {', '.join(known)}"
        )
    return replace(manifest, disks=tuple(disk for disk in manifest.disks if disk.id in names))


def select(manifest: Manifest, names: Sequence[str]) -> Manifest:
    """The image with nothing but these partitions, named like `disk0:2`; all of it without names.

    What comes out has no table segments: it is written into partitions that are there already.
    """
    if not names:
        return manifest
    wanted = [_resolve(manifest, name, "--partition") for name in names]
    disks = []
    for disk in manifest.disks:
        parts = [each for each in disk.segments if (disk.id, each.id) in wanted and _listed(each)]
        if parts:
            disks.append(replace(disk, segments=tuple(parts)))
    return replace(manifest, disks=tuple(disks))


def growing(
    manifest: Manifest, names: Sequence[str], moving: Sequence[str] = ()
) -> dict[str, list[Growing]]:
    """What is to grow on each disk; for those in `moving`, which grow as well, others move.

    `last` means the last partition of every disk that people use.
    """
    result: dict[str, list[Growing]] = {}
    for name in dict.fromkeys([*names, *moving]):
        if name == LAST:
            found = [(disk.id, LAST) for disk in manifest.disks]
        else:
            found = [_resolve(manifest, name, "--grow")]
        for disk, part in found:
            result.setdefault(disk, []).append(Growing(part, name in moving))
    return result


def is_whole(disk: Disk) -> bool:
    """Whether this is all of a disk, with its table, and not a selection of its partitions."""
    return any(segment.kind == "boot" for segment in disk.segments)


def check_places(disk: Disk, table: Table, path: object) -> None:
    """Refuse unless the target's table has each selected partition at its place, with its size."""
    sector = disk.logical_sector
    places = {
        (line.start * sector, line.size * sector)
        for line in table.partitions
        if not is_container(table, line)
    }
    for segment in disk.segments:
        if (segment.offset, segment.size) not in places:
            raise TargetRefused(
                f"{path} has no partition at byte {segment.offset} with {segment.size} bytes, "
                f"where {disk.id}:{segment.id} of the image belongs",
                "restore the whole disk, without --partition",
            )


def _resolve(manifest: Manifest, name: str, option: str) -> tuple[str, str]:
    """`disk0:2`, or just `2` for an image of one disk, as disk and partition."""
    disk, separator, part = name.rpartition(":")
    if not separator and len(manifest.disks) == 1:
        disk = manifest.disks[0].id
    known = {
        (each.id, segment.id) for each in manifest.disks for segment in each.segments
        if _listed(segment)
    }  # fmt: skip
    if (disk, part) not in known:
        listed = ", ".join(sorted(":".join(each) for each in known)) or "none"
        raise UsageError(f"{option} {name}: the image has no such partition", f"it has {listed}")
    return disk, part


def _listed(segment: Segment) -> bool:
    """Whether the table has a line for it: content without a table is no partition."""
    return segment.kind == "partition" and bool(segment.partition)
