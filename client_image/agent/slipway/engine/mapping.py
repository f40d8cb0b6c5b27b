"""What a backup of a disk would hold: its stretches, each with content, method and used map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.content.base import Decision, Volume
from slipway.engine.content.registry import decide, identify, label_of, open_volume, used_map
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import SlipwayError, SourceRefused, UsageError
from slipway.engine.loop import read_only_loop
from slipway.engine.readable import (
    metadata_needed,
    read_head,
    read_start,
    read_tables,
    table_needed,
)
from slipway.engine.table import Stretch, is_container, is_vendors, layout, read_table
from slipway.format import Extents, Identity, Table

WHOLE_DISK = "disk"


@dataclass(frozen=True)
class Mapped:
    """A stretch whose used map is known."""

    stretch: Stretch
    used: Extents
    decision: Decision
    content: str
    uuid: str = ""
    label: str = ""


@dataclass(frozen=True)
class DiskMap:
    """A disk, ready to be read."""

    id: str
    disk: BlockDisk
    table: Table
    parts: tuple[Mapped, ...]

    @property
    def used_bytes(self) -> int:
        """How much a backup reads."""
        return sum(part.used.total for part in self.parts)


@dataclass(frozen=True)
class Preview:
    """What a backup would do with one partition, found out without reading its map."""

    partition: str
    offset: int
    size: int
    content: str
    method: str
    """`refused` when a backup would stop here; `reason` and `remedy` then say why."""
    reason: str = ""
    remedy: str = ""
    uuid: str = ""
    label: str = ""


def map_disk(
    disk: BlockDisk,
    handle: int,
    disk_id: str,
    whole: Collection[str],
    keys: Mapping[str, bytes],
) -> DiskMap:
    """Find out everything about an opened disk.

    `whole` holds ids such as `disk0:2`, `keys` the passphrase of such a volume.
    """
    table, stretches = _stretches(disk, handle, disk_id, whole)
    parts = []
    for stretch in stretches:
        if stretch.used is not None:
            content = "gap" if stretch.kind == "gap" else "table"
            parts.append(Mapped(stretch, stretch.used, Decision("whole"), content))
            continue
        name = volume_id(disk_id, stretch.partition)
        place = (disk.path, stretch.offset, stretch.size, disk.logical_sector)
        with open_volume(name, *place, key=keys.get(name)) as volume, metadata_needed(name, disk):
            if name not in whole:
                read_head(volume)
            decision = _decide(volume, table, stretch, name in whole)
            used = used_map(volume, decision)
            uuid, label = label_of(volume.fields)
            if table.kind == "none":
                # The first sector decides whether the disk boots: it is a segment of its own.
                used = used.without(0, disk.logical_sector)
            parts.append(Mapped(stretch, used, decision, volume.type, uuid, label))
    return DiskMap(disk_id, disk, table, tuple(parts))


def preview_disk(disk: BlockDisk, handle: int, disk_id: str) -> tuple[Table, tuple[Preview, ...]]:
    """The table of an opened disk and what a backup would do with its partitions."""
    table, stretches = _stretches(disk, handle, disk_id, ())
    contents = [stretch for stretch in stretches if stretch.kind == "partition"]
    previews = []
    for stretch in contents:
        name = volume_id(disk_id, stretch.partition)
        place = (disk.path, stretch.offset, stretch.size, disk.logical_sector)
        with open_volume(name, *place) as volume:
            previews.append(_preview(volume, table, stretch, disk))
    return table, tuple(previews)


def _decide(volume: Volume, table: Table, stretch: Stretch, whole: bool) -> Decision:
    if not whole and is_vendors(table, stretch.partition):
        return Decision("whole", "a vendor's hidden partition: its files alone would not start it")
    return decide(volume, whole)


def _preview(volume: Volume, table: Table, stretch: Stretch, disk: BlockDisk) -> Preview:
    uuid, label = label_of(volume.fields)
    method, reason, remedy = "refused", "", ""
    try:
        with metadata_needed(volume.id, disk):
            read_head(volume)
            decision = _decide(volume, table, stretch, whole=False)
        method, reason = decision.method, decision.reason
    except SlipwayError as error:
        reason, remedy = error.message, error.remedy
    return Preview(
        partition=volume.id.partition(":")[2],
        offset=stretch.offset,
        size=stretch.size,
        content=volume.type,
        method=method,
        reason=reason,
        remedy=remedy,
        uuid=uuid,
        label=label,
    )


def _stretches(
    disk: BlockDisk, handle: int, disk_id: str, whole: Collection[str]
) -> tuple[Table, list[Stretch]]:
    if volume_id(disk_id, 0) in whole:
        table = Table("none")
        return table, layout(table, handle, disk.size, disk.logical_sector)
    try:
        with table_needed(disk, disk_id):
            read_start(handle, disk)
            table = table_of(disk)
            stretches = layout(table, handle, disk.size, disk.logical_sector)
            read_tables(handle, disk, table, stretches)
        return table, stretches
    except SourceRefused as error:
        message = error.message.removeprefix(f"{disk.path}: ")
        raise SourceRefused(f"{disk.path}: {message}", error.remedy) from error


def table_of(disk: BlockDisk) -> Table:
    """The disk's partition table. A file gets the sector size of its disk from a loop device."""
    if not disk.is_file:
        return _table_at(disk.path)
    with read_only_loop(disk.path, 0, disk.size, disk.logical_sector) as device:
        return _table_at(device)


def _table_at(device: Path) -> Table:
    found = identify(device)
    table = Table("none")
    if "ID_PART_TABLE_TYPE" in found or "ID_FS_TYPE" not in found:
        table = read_table(device)
    # The boot sectors of FAT, exFAT and NTFS bear the signature of an MBR.
    return table if table.partitions or "ID_FS_TYPE" not in found else Table("none")


def volume_id(disk_id: str, partition: int | None) -> str:
    """The name of a partition's content for users: `disk0:2`, or `disk0:disk` without a table."""
    return f"{disk_id}:{partition or WHOLE_DISK}"


def resolve_whole(
    names: Iterable[str], disks: Iterable[BlockDisk], option: str = "--whole"
) -> frozenset[str]:
    """What users write behind an option, as volume ids; each has to exist.

    Accepted are `disk0:2`, `/dev/sda2` and, with one disk, `2`; `disk` in place of the number
    means all of the disk without looking at its table.
    """
    ids: set[str] = set()
    listed = list(enumerate(disks))
    for name in names:
        # A disk whose table can't be read can still be saved as a whole.
        matches = _matches(name, listed, lambda disk: [(0, str(disk.path))])
        matches = matches or _matches(name, listed, _numbers)
        if len(matches) != 1:
            raise UsageError(
                f"{option} {name}: there is no such partition",
                "name it as slipway probe does, for example disk0:2",
            )
        ids.update(matches)
    return frozenset(ids)


def _matches(
    name: str,
    listed: Sequence[tuple[int, BlockDisk]],
    numbers: Callable[[BlockDisk], list[tuple[int, str]]],
) -> list[str]:
    return [
        volume_id(f"disk{index}", number)
        for index, disk in listed
        for number, node in numbers(disk)
        if name in (f"disk{index}:{number or WHOLE_DISK}", node)
        or (len(listed) == 1 and name == str(number or WHOLE_DISK))
    ]


def _numbers(disk: BlockDisk) -> list[tuple[int, str]]:
    table = table_of(disk)
    joint = "p" if disk.path.name[-1].isdigit() else ""
    contents = [line.number for line in table.partitions if not is_container(table, line)]
    return [(each, f"{disk.path}{joint}{each}") for each in contents]


def known_identity(disk: BlockDisk) -> Identity:
    """What the manifest keeps: a loop device's or a file's identity would mean nothing later."""
    return Identity() if disk.is_file else disk.identity
