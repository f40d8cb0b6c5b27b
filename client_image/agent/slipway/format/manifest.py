# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: one JSON file that describes one version of an image completely.

These classes only hold what FORMAT.md defines. Reading a manifest touches no device and no file;
`parse` is in the module `codec`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from slipway.format.extents import Extents

TableKind = Literal["gpt", "dos", "none"]
SegmentKind = Literal["boot", "ebr", "gpt-backup", "gap", "partition"]
Method = Literal["used", "swap", "whole"]

TABLE_KINDS: tuple[TableKind, ...] = ("gpt", "dos", "none")
SEGMENT_KINDS: tuple[SegmentKind, ...] = ("boot", "ebr", "gpt-backup", "gap", "partition")
METHODS: tuple[Method, ...] = ("used", "swap", "whole")
# Restored last, since they decide whether the disk boots.
TABLE_SEGMENTS = frozenset({"boot", "ebr", "gpt-backup"})


@dataclass(frozen=True)
class Cell:
    """One cell of a segment: where it lies on the disk and which chunk holds its content."""

    digest: str
    number: int
    offset: int
    """On the disk, in bytes."""
    size: int


@dataclass(frozen=True)
class Segment:
    """A stretch of a disk that the image holds, with its used map and its chunks."""

    kind: SegmentKind
    offset: int
    size: int
    used: Extents
    """Relative to `offset`."""
    digests: bytes
    """One 32-byte digest for each cell that holds a used byte, in order."""
    partition: int | None = None
    """Number in the table for kinds `partition` and `ebr`; 0 is content without a table."""
    content: str = ""
    method: Method = "whole"
    uuid: str = ""
    label: str = ""
    unreadable: Extents = field(default_factory=lambda: Extents.of([]))
    """Used bytes that the source disk did not give: their place in the chunks is zero. Relative
    to `offset`."""

    @property
    def id(self) -> str:
        """A name that is unique within the disk: `boot`, `ebr5`, `1`, `gap1048576`."""
        if self.kind == "partition":
            return str(self.partition) if self.partition else "disk"
        if self.kind == "ebr":
            return f"ebr{self.partition}"
        return f"gap{self.offset}" if self.kind == "gap" else self.kind

    @property
    def is_table(self) -> bool:
        """Whether it is part of the partition table or the boot code."""
        return self.kind in TABLE_SEGMENTS

    def cells(self, cell_size: int) -> Iterator[Cell]:
        """All cells of the segment in order."""
        for index, number in enumerate(self.used.cells(cell_size)):
            start = number * cell_size
            yield Cell(
                self.digests[index * 32 : index * 32 + 32].hex(),
                number,
                self.offset + start,
                min(cell_size, self.size - start),
            )


@dataclass(frozen=True)
class TablePartition:
    """A line of the partition table, in the words of `sfdisk --json`."""

    number: int
    start: int
    """In logical sectors, as `size`."""
    size: int
    type: str
    uuid: str = ""
    name: str = ""
    attrs: str = ""
    bootable: bool = False


@dataclass(frozen=True)
class Table:
    """The partition table, parsed. The bytes that are restored are those of the segments."""

    kind: TableKind
    id: str = ""
    first_lba: int = 0
    last_lba: int = 0
    partitions: tuple[TablePartition, ...] = ()


@dataclass(frozen=True)
class Identity:
    """What tells one disk from all others. Empty: the disk does not say."""

    serial: str = ""
    wwn: str = ""
    model: str = ""

    def __str__(self) -> str:
        """For messages."""
        words = [f"{key} {value}" for key, value in vars(self).items() if value]
        return ", ".join(words) or "no serial number"


@dataclass(frozen=True)
class Disk:
    """One disk of an image."""

    id: str
    identity: Identity
    size: int
    logical_sector: int
    physical_sector: int
    table: Table
    segments: tuple[Segment, ...]

    @property
    def used_bytes(self) -> int:
        """Bytes of the disk that the image holds."""
        return sum(segment.used.total for segment in self.segments)

    @property
    def unreadable_bytes(self) -> int:
        """Bytes that the image should hold, but that the disk did not give."""
        return sum(segment.unreadable.total for segment in self.segments)


@dataclass(frozen=True)
class BootEntry:
    """A UEFI boot entry: what the firmware starts."""

    label: str
    loader: str
    """Path on the partition, with backslashes."""
    partition: str
    """The partition's GUID, in lower case."""


@dataclass(frozen=True)
class Machine:
    """Where the image was taken. Nothing but boot entries is decided by it."""

    name: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    boot_entries: tuple[BootEntry, ...] = ()
    """Those of its own disks, in the order in which the firmware tries them."""


@dataclass(frozen=True)
class Manifest:
    """One version of an image."""

    name: str
    cell_size: int
    disks: tuple[Disk, ...]
    machine: Machine = field(default_factory=Machine)
    agent_version: str = ""
    version: str = ""
    """Set, as `created` and `stored_bytes`, by the store that publishes the version."""
    created: str = ""
    stored_bytes: int = 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all disks that the image holds."""
        return sum(disk.used_bytes for disk in self.disks)

    @property
    def unreadable_bytes(self) -> int:
        """Bytes that could not be read when the image was made; above 0 it is degraded."""
        return sum(disk.unreadable_bytes for disk in self.disks)

    @property
    def cell_count(self) -> int:
        """How many cells the image has, equal ones counted each."""
        return sum(len(segment.digests) // 32 for segment in self.segments())

    def segments(self) -> Iterator[Segment]:
        """All segments of all disks."""
        for disk in self.disks:
            yield from disk.segments

    def cells(self) -> Iterator[Cell]:
        """All cells of all disks."""
        for segment in self.segments():
            yield from segment.cells(self.cell_size)

    def digests(self) -> Iterator[str]:
        """Names of all chunks, as often as they are used."""
        for segment in self.segments():
            for start in range(0, len(segment.digests), 32):
                yield segment.digests[start : start + 32].hex()

    def chunks(self) -> Iterator[tuple[str, int]]:
        """Every chunk that the version needs, once, with the size of its content."""
        seen: set[bytes] = set()
        for cell in self.cells():
            name = bytes.fromhex(cell.digest)
            if name not in seen:
                seen.add(name)
                yield cell.digest, cell.size

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the content of all its chunks, equal ones counted once."""
        return sum(size for _, size in self.chunks())

    def stamped(self, version: str, created: str, stored_bytes: int) -> Manifest:
        """The manifest as a store publishes it."""
        return replace(self, version=version, created=created, stored_bytes=stored_bytes)
