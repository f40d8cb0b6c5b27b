"""Partition tables: what sfdisk says, and which stretches of a disk an image therefore holds."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from slipway.engine.cells import ReadError, read_at
from slipway.engine.devices import clean
from slipway.engine.errors import SourceRefused, ToolError
from slipway.engine.run import run
from slipway.format import Extents, Table, TablePartition
from slipway.format.manifest import SegmentKind, TableKind

MIB = 1 << 20
MAX_GAP = 16 * MIB
_EXTENDED = frozenset({"5", "f", "85"})
_GPT_HEADER = struct.Struct("<8s4s4s4s4sQQQQ16sQIII")
_MAX_LOGICALS = 512
_DAMAGED = "repair the table"


@dataclass(frozen=True)
class Stretch:
    """A part of a disk that becomes a segment."""

    kind: SegmentKind
    offset: int
    size: int
    partition: int | None = None
    used: Extents | None = None
    """Known for everything but the content of a partition; relative to `offset`."""


def read_table(path: Path) -> Table:
    """The partition table of a disk; kind `none` when it has none that is GPT or MBR."""
    answer = run(["sfdisk", "--json", str(path)], ok=None)
    if answer.code != 0:
        if "does not contain a recognized partition table" in answer.stderr:
            return Table("none")
        if os.strerror(errno.EIO) in answer.stderr:
            raise ReadError(f"sfdisk: {os.strerror(errno.EIO)}")
        raise ToolError(f"sfdisk can't read {path}: {answer.last_words()}")
    table = json.loads(answer.stdout)["partitiontable"]
    if table["label"] not in ("gpt", "dos"):
        return Table("none")
    return Table(
        kind=cast(TableKind, table["label"]),
        id=clean(table.get("id")),
        first_lba=table.get("firstlba", 0),
        last_lba=table.get("lastlba", 0),
        partitions=tuple(
            _line(line, table["device"]) for line in table.get("partitions", []) if _is_one(line)
        ),
    )


def _is_one(line: dict[str, Any]) -> bool:
    """Whether an entry is a partition at all: sfdisk lists some that no system takes for one.

    An MBR's without sectors or of type 0 (unused), a GPT's that ends before it starts. They stay
    in the table as they are.
    """
    return int(line["size"]) > 0 and str(line["type"]).lower().removeprefix("0x") != "0"


def _line(line: dict[str, Any], device: str) -> TablePartition:
    return TablePartition(
        number=int(line["node"].removeprefix(device).removeprefix("p")),
        start=line["start"],
        size=line["size"],
        type=clean(line["type"]),
        uuid=clean(line.get("uuid")),
        name=clean(line.get("name")),
        attrs=clean(line.get("attrs")),
        bootable=bool(line.get("bootable")),
    )


def is_container(table: Table, partition: TablePartition) -> bool:
    """Whether it is an extended partition, which holds other partitions and nothing else."""
    return table.kind == "dos" and partition.type.lower().removeprefix("0x") in _EXTENDED


def layout(
    table: Table, handle: int, size: int, sector: int, keep_gaps: bool = False
) -> list[Stretch]:
    """The stretches of a disk with this table, in the order of their offsets.

    Of a long gap the ends alone count as used, unless `keep_gaps`.
    """
    if table.kind == "none":
        return [
            _full("boot", 0, sector),
            Stretch("partition", 0, size, partition=0),
        ]
    content = [
        Stretch("partition", line.start * sector, line.size * sector, partition=line.number)
        for line in table.partitions
        if not is_container(table, line)
    ]
    tables = [_boot(table, size, sector)]
    if table.kind == "dos":
        tables += extended_records(table, handle, size, sector)
    else:
        tables.append(_gpt_backup(handle, size, sector))
    stretches = sorted([*tables, *content], key=lambda each: each.offset)
    _check(stretches, size)
    covered = Extents.of((each.offset, each.offset + each.size) for each in stretches)
    longest = size if keep_gaps else MAX_GAP
    gaps = [_gap(start, end, longest) for start, end in covered.complement(size)]
    return sorted([*stretches, *gaps], key=lambda each: each.offset)


def _full(kind: SegmentKind, offset: int, size: int, partition: int | None = None) -> Stretch:
    return Stretch(kind, offset, size, partition, Extents.whole(size))


def _boot(table: Table, size: int, sector: int) -> Stretch:
    first = min((line.start * sector for line in table.partitions), default=size)
    return _full("boot", 0, max(min(first, MAX_GAP, size), sector))


def _gap(start: int, end: int, longest: int) -> Stretch:
    size = end - start
    used = [(0, size)] if size <= longest else [(0, MIB), (size - MIB, size)]
    return Stretch("gap", start, size, used=Extents.of(used))


def _check(stretches: Iterable[Stretch], size: int) -> None:
    previous: Stretch | None = None
    for each in stretches:
        if each.size <= 0 or each.offset + each.size > size:
            raise SourceRefused(
                f"the partition table is damaged: {_name(each)} reaches behind the disk's end",
                _DAMAGED,
            )
        if previous is not None and previous.offset + previous.size > each.offset:
            raise SourceRefused(
                f"the partition table is damaged: {_name(previous)} and {_name(each)} overlap",
                _DAMAGED,
            )
        previous = each


def _name(stretch: Stretch) -> str:
    number = "" if stretch.partition is None else f" {stretch.partition}"
    return f"{stretch.kind}{number}"


def _read(handle: int, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    read_at(handle, memoryview(buffer), offset)
    return bytes(buffer)


def extended_records(table: Table, handle: int, size: int, sector: int) -> list[Stretch]:
    """The sectors of the chain of extended boot records; sfdisk does not say where they lie."""
    result: list[Stretch] = []
    for line in table.partitions:
        if not is_container(table, line):
            continue
        base = position = line.start * sector
        seen: set[int] = set()
        while position not in seen and position + sector <= size and len(seen) < _MAX_LOGICALS:
            seen.add(position)
            record = _read(handle, position, sector)
            if record[510:512] != b"\x55\xaa":
                break
            result.append(_full("ebr", position, sector, 5 + len(result)))
            kind, start = record[466], int.from_bytes(record[470:474], "little")
            if format(kind, "x") not in _EXTENDED or not start:
                break
            position = base + start * sector
    return result


@dataclass(frozen=True)
class GptHeader:
    """The fields of a GPT header that say where the parts of the table lie, in sectors."""

    own: int
    other: int
    first_usable: int
    last_usable: int
    entries: int
    entry_count: int
    entry_size: int


def parse_gpt_header(sector: bytes) -> GptHeader | None:
    """Read a header; None when this sector holds none."""
    if len(sector) < _GPT_HEADER.size or sector[:8] != b"EFI PART":
        return None
    fields = _GPT_HEADER.unpack_from(sector)
    return GptHeader(*fields[5:9], *fields[10:13])


def _gpt_backup(handle: int, size: int, sector: int) -> Stretch:
    """Where the backup GPT lies: at the end, unless the disk has grown since it was written."""
    primary = parse_gpt_header(_read(handle, sector, sector))
    last = size // sector - 1
    at = primary.other if primary is not None and 1 < primary.other <= last else last
    try:
        backup = parse_gpt_header(_read(handle, at * sector, sector))
    except ReadError:
        backup = None
    length = primary.entry_count * primary.entry_size if primary is not None else 0
    if not 0 < length <= MAX_GAP:
        length = 32 * 512
    usual = at - max(-(-length // sector), 1)
    entries = backup.entries if backup is not None else usual
    if not 0 < at - entries <= MAX_GAP // sector:
        entries = usual
    return _full("gpt-backup", entries * sector, (at + 1 - entries) * sector)
