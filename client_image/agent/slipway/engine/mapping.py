"""What a backup of a disk would hold: its stretches, each with content, method and used map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slipway.engine.cells import ReadError
from slipway.engine.content.base import Decision, Policy
from slipway.engine.content.fixed import HASHES
from slipway.engine.content.registry import (
    UNKNOWN,
    decide,
    identify,
    label_of,
    open_volume,
    used_map,
)
from slipway.engine.content.spread import Share
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import (
    DeviceError,
    Interrupted,
    SlipwayError,
    SourceRefused,
    UsageError,
)
from slipway.engine.ldm import is_data, share_of
from slipway.engine.loop import read_only_loop
from slipway.engine.other_units import hint, other_units
from slipway.engine.partition_types import why_whole
from slipway.engine.readable import (
    metadata_needed,
    read_head,
    read_start,
    read_tables,
    table_needed,
)
from slipway.engine.run import ToolMissing, at_most
from slipway.engine.table import Stretch, extended_records, is_container, layout, read_table
from slipway.engine.table_copy import table_copy
from slipway.engine.table_state import said_of_table
from slipway.format import Extents, Identity, Table

WHOLE_DISK = "disk"
# Seconds that one program may take; the largest file systems take minutes.
_PATIENCE = 1800.0


@dataclass(frozen=True)
class How:
    """What the user asks for."""

    whole: Collection[str] = ()
    """Ids of volumes, such as `disk0:2`, to be saved with all sectors whatever they hold."""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Passphrases by volume id."""
    unclean: Policy = "refuse"
    """What becomes of volumes that their own system did not let go of."""
    keep_gaps: bool = False
    """Whether what lies in no partition is saved in full, however long it is."""


@dataclass(frozen=True)
class Mapped:
    """A stretch whose used map is known, or whose `error` says why it can't be."""

    stretch: Stretch
    used: Extents
    decision: Decision
    content: str
    uuid: str = ""
    label: str = ""
    error: SlipwayError | None = None
    asked: bool = False
    """Whether the user asked for all its sectors: then nothing refuses it."""


@dataclass(frozen=True)
class DiskMap:
    """A disk, ready to be read when no part of it has an error."""

    id: str
    disk: BlockDisk
    table: Table
    parts: tuple[Mapped, ...]
    warnings: tuple[str, ...] = ()
    """What users have to know and nothing stops for."""

    @property
    def used_bytes(self) -> int:
        """How much a backup reads."""
        return sum(part.used.total for part in self.parts)


def map_disk(disk: BlockDisk, handle: int, disk_id: str, how: How) -> DiskMap:
    """Find out everything about an opened disk; what is wrong with a partition stands with it."""
    with at_most(_PATIENCE):
        table, stretches = _stretches(disk, handle, disk_id, how)
        parts = [_part(disk, table, each, volume_id(disk_id, each.partition), how)
                 for each in stretches]  # fmt: skip
    share = share_of(table, stretches, handle, disk.size)
    if share is not None:
        parts = [_with_share(table, part, share) for part in parts]
    warnings = tuple(said_of_table(disk, handle, table, stretches, disk_id))
    return DiskMap(disk_id, disk, table, tuple(parts), warnings)


def _with_share(table: Table, part: Mapped, share: Share) -> Mapped:
    if not is_data(table, part.stretch.partition):
        return part
    return replace(part, decision=replace(part.decision, shares=(share,)))


def _part(disk: BlockDisk, table: Table, stretch: Stretch, name: str, how: How) -> Mapped:
    if stretch.used is not None:
        content = "gap" if stretch.kind == "gap" else "table"
        return Mapped(stretch, stretch.used, Decision("whole"), content)
    place = (disk.path, stretch.offset, stretch.size, disk.logical_sector)
    asked, typed = name in how.whole, why_whole(table, stretch.partition)
    decision = Decision("whole", typed or "asked for")
    part = Mapped(stretch, Extents.whole(stretch.size), decision, UNKNOWN, asked=asked)
    try:
        with metadata_needed(name, disk), open_volume(name, *place) as volume:
            uuid, label = label_of(volume.fields)
            part = replace(part, content=volume.type, uuid=uuid, label=label)
            # Hashes of other blocks know more about themselves than their type does.
            if not asked and (not typed or volume.type == HASHES):
                read_head(volume)
                volume = replace(volume, key=how.keys.get(name), unclean=how.unclean)
                decision = decide(volume)
                part = replace(part, used=used_map(volume, decision), decision=decision)
    except Interrupted:
        raise
    except SlipwayError as error:
        # Whole is the way out of everything that a disk can hold, or make a program do.
        if not (asked or typed) or isinstance(error, ToolMissing | DeviceError):
            part = replace(part, error=error)
    if table.kind == "none":
        # The first sector decides whether the disk boots: it is a segment of its own.
        part = replace(part, used=part.used.without(0, disk.logical_sector))
    return part


def first_byte(disk_map: DiskMap) -> int:
    """Where a partition's used map may begin: without a table, the first sector is a segment."""
    return disk_map.disk.logical_sector if disk_map.table.kind == "none" else 0


def saved_whole(disk_map: DiskMap, part: Mapped, why: str) -> Mapped:
    """The part with all its sectors."""
    used = Extents.of([(first_byte(disk_map), part.stretch.size)])
    return replace(part, used=used, decision=Decision("whole", why, shares=part.decision.shares))


def _stretches(disk: BlockDisk, handle: int, disk_id: str, how: How) -> tuple[Table, list[Stretch]]:
    table = Table("none")
    if volume_id(disk_id, 0) in how.whole:
        return table, layout(table, handle, disk.size, disk.logical_sector)
    try:
        with table_needed(disk, disk_id):
            read_start(handle, disk)
            table = table_of(disk)
            stretches = layout(table, handle, disk.size, disk.logical_sector, how.keep_gaps)
            lost = read_tables(handle, disk, table, stretches)
        unread = Extents.of([])
        return table, [replace(each, used=unread) if each in lost else each for each in stretches]
    except SourceRefused as error:
        message = error.message.removeprefix(f"{disk.path}: ")
        if units := other_units(disk, handle, table):
            message += f"; {hint(units, disk, disk_id)}"
        whole, remedy = f"--whole {disk_id}:disk", error.remedy
        if whole not in remedy:
            remedy = f"{remedy}, or save the disk sector by sector with {whole}"
        raise SourceRefused(f"{disk.path}: {message}", remedy) from error


def table_of(disk: BlockDisk) -> Table:
    """The disk's partition table. A file gets the sector size of its disk from a loop device."""
    try:
        return _table_in(disk.path, disk) if disk.is_file else _table_at(disk.path)
    except ReadError:
        with table_copy(disk) as copy:
            table = _table_in(copy.path, disk)
            records = extended_records(table, copy.handle, disk.size, disk.logical_sector)
            copy.add_stretches(records)
            return _table_in(copy.path, disk) if records else table


def _table_in(path: Path, disk: BlockDisk) -> Table:
    with read_only_loop(path, 0, disk.size, disk.logical_sector) as device:
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
