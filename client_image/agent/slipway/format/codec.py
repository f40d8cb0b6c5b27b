"""Manifests as bytes: the envelope with its digest, and the checks on everything inside."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

from slipway.format import frames, names
from slipway.format.errors import FormatError
from slipway.format.extents import Extents
from slipway.format.manifest import (
    METHODS,
    SEGMENT_KINDS,
    TABLE_KINDS,
    BootEntry,
    Disk,
    Identity,
    Machine,
    Manifest,
    Segment,
    Table,
    TablePartition,
)
from slipway.format.shape import check_shape

FORMAT_VERSION = 1
MAX_MANIFEST = 256 << 20
MAX_DISKS = 64
MAX_SEGMENTS = 2048
MAX_BOOT_ENTRIES = 64
MAX_TABLE = 64 << 20
MAX_BYTES = 1 << 60
SECTOR_SIZES = (512, 1024, 2048, 4096)
_MAX_TEXT = 256
# So many objects and lists fit in the lists above.
_MAX_CONTAINERS = MAX_DISKS * (2 * MAX_SEGMENTS + 32) + 2 * MAX_BOOT_ENTRIES

_HEAD = b'{"slipway":%d,"sha256":"%s","manifest":'
_TAIL = b"}\n"
# Chunk names and used maps are most of a manifest. They are packed and unpacked by themselves: as
# JSON text a full disk of 2 TB would take several times its manifest's 64 MiB of memory.
_LONG = re.compile(rb'"(?:cells":"([0-9a-f]*)|used":"([0-9+ ]*))"')
_NO_CELLS = b'"cells":null'
_T = TypeVar("_T")


def serialize(manifest: Manifest) -> bytes:
    """The manifest as its file holds it."""
    text = json.dumps(_manifest_to_json(manifest), separators=(",", ":")).encode("ascii")
    pieces = text.split(_NO_CELLS)
    body = [pieces[0]]
    for segment, piece in zip(manifest.segments(), pieces[1:], strict=True):
        body += [b'"cells":"', hexlify(segment.digests), b'"', piece]
    digest = hashlib.sha256()
    for piece in body:
        digest.update(piece)
    return b"".join([_head(digest.hexdigest()), *body, _TAIL])


def parse(data: bytes) -> Manifest:
    """Read a manifest from bytes that nobody vouches for; every fault is a FormatError."""
    if len(data) > MAX_MANIFEST:
        raise FormatError(f"the manifest has {len(data)} bytes, at most {MAX_MANIFEST} are read")
    start, end = len(_head("0" * 64)), len(data) - len(_TAIL)
    head = data[:start]
    digest = hashlib.sha256(memoryview(data)[start : max(start, end)]).hexdigest()
    if head != _head(digest) or data[end:] != _TAIL:
        if not head.startswith(b'{"slipway":'):
            raise FormatError("this is no Slipway manifest")
        if not head.startswith(b'{"slipway":%d,' % FORMAT_VERSION):
            raise FormatError(
                f"the manifest has another format version than {FORMAT_VERSION}, "
                "the only one that this program reads"
            )
        raise FormatError("the manifest is damaged: its content does not match its digest")
    try:
        return _manifest(_Fields(_unpack(data, start, end), "manifest"))
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the manifest is not the JSON that FORMAT.md describes: {error}") from (
            error
        )


def _unpack(data: bytes, start: int, end: int) -> object:
    """The JSON in `data[start:end]`; chunk names are bytes where they are plain hex."""
    # Nobody can write into a manifest what nobody knows before it is read.
    mark = secrets.token_hex(16)
    view = memoryview(data)
    text, long, position = bytearray(), list[bytes | str](), start
    for found in _LONG.finditer(data, start, end):
        if len(long) > 2 * _MAX_CONTAINERS:
            raise FormatError("the manifest has more used maps than disks have room for")
        first, last = found.span(found.lastindex or 0)
        if found.lastindex == 2:
            long.append(str(view[first:last], "ascii"))
        elif (last - first) % 64 == 0:
            long.append(unhexlify(view[first:last]))
        else:
            continue
        text += view[position:first]
        text += f"{mark}{len(long) - 1}".encode("ascii")
        position = last
    text += view[position:end]
    check_shape(text, _MAX_CONTAINERS)

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = _no_duplicates(pairs)
        for key in ("cells", "used"):
            value = result.get(key)
            if isinstance(value, str) and value.startswith(mark):
                result[key] = long[int(value.removeprefix(mark))]
        return result

    return json.loads(text, object_pairs_hook=build, parse_constant=_no_constant)


def _head(digest: str) -> bytes:
    return _HEAD % (FORMAT_VERSION, digest.encode("ascii"))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("the manifest has an object with one key twice")
    return result


def _no_constant(text: str) -> NoReturn:
    raise FormatError(f"the manifest holds {text}, which is no JSON")


class _Fields:
    """A JSON object that is taken apart key by key, each checked, none left over."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"{where} is not an object")
        self.value: dict[str, Any] = dict(value)
        self.where = where

    def fail(self, key: str, message: str) -> NoReturn:
        raise FormatError(f"{self.where}.{key} {message}")

    def take(self, key: str, kind: type[_T]) -> _T:
        if key not in self.value:
            self.fail(key, "is missing")
        value = self.value.pop(key)
        if type(value) is not kind:
            self.fail(key, f"is not of type {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        value = self.take(key, str)
        if len(value) > _MAX_TEXT or not value.isprintable():
            self.fail(key, "is too long or holds control characters")
        return value

    def number(self, key: str, smallest: int = 0, largest: int = MAX_BYTES) -> int:
        value = self.take(key, int)
        if not smallest <= value <= largest:
            self.fail(key, f"is {value}, not between {smallest} and {largest}")
        return value

    def choice(self, key: str, choices: Iterable[_T]) -> _T:
        value = self.value.pop(key, None)
        found = [each for each in choices if type(each) is type(value) and each == value]
        if not found:
            self.fail(key, f"is {names.clip(value)}, which is none of its values")
        return found[0]

    def items(self, key: str, limit: int, build: Callable[[_Fields], _T]) -> tuple[_T, ...]:
        value = self.take(key, list)
        if len(value) > limit:
            self.fail(key, f"has more than {limit} entries")
        return tuple(
            build(_Fields(item, f"{self.where}.{key}[{index}]")) for index, item in enumerate(value)
        )

    def inner(self, key: str, build: Callable[[_Fields], _T]) -> _T:
        return build(_Fields(self.take(key, dict), f"{self.where}.{key}"))

    def end(self) -> None:
        if self.value:
            raise FormatError(f"{self.where} has the unknown key {names.clip(min(self.value))}")


def _manifest(fields: _Fields) -> Manifest:
    version = fields.text("version")
    cell_size = fields.number("cell_size", frames.MIN_CELL, frames.MAX_CELL)
    if cell_size & (cell_size - 1):
        fields.fail("cell_size", "is no power of two")
    result = Manifest(
        name=names.check_name(fields.text("name")),
        version=names.check_version(version) if version else "",
        created=fields.text("created"),
        stored_bytes=fields.number("stored_bytes"),
        agent_version=fields.text("agent_version"),
        machine=fields.inner("machine", _machine),
        cell_size=cell_size,
        disks=fields.items("disks", MAX_DISKS, lambda item: _disk(item, cell_size)),
    )
    if not result.disks:
        fields.fail("disks", "is empty")
    if len({disk.id for disk in result.disks}) != len(result.disks):
        fields.fail("disks", "has one id twice")
    fields.end()
    return result


def _machine(fields: _Fields) -> Machine:
    entries: tuple[BootEntry, ...] = ()
    if "boot_entries" in fields.value:
        entries = fields.items("boot_entries", MAX_BOOT_ENTRIES, _boot_entry)
    result = Machine(
        name=fields.text("name"),
        vendor=fields.text("vendor"),
        model=fields.text("model"),
        serial=fields.text("serial"),
        firmware=fields.text("firmware"),
        boot_entries=entries,
    )
    fields.end()
    return result


def _boot_entry(fields: _Fields) -> BootEntry:
    result = BootEntry(*(fields.text(key) for key in ("label", "loader", "partition")))
    fields.end()
    return result


def _disk(fields: _Fields, cell_size: int) -> Disk:
    logical = fields.choice("logical_sector", SECTOR_SIZES)
    result = Disk(
        id=names.check_name(fields.text("id"), "disk"),
        identity=fields.inner("identity", _identity),
        size=fields.number("size", logical),
        logical_sector=logical,
        physical_sector=fields.number("physical_sector", logical, 1 << 20),
        table=fields.inner("table", _table),
        segments=fields.items(
            "segments", MAX_SEGMENTS, lambda item: _segment(item, cell_size, logical)
        ),
    )
    _check_segments(fields, result)
    fields.end()
    return result


def _check_segments(fields: _Fields, disk: Disk) -> None:
    """Segments lie on the disk, in order, and no byte is saved twice."""
    boot = disk.segments[0] if disk.segments else None
    if boot is None or boot.kind != "boot" or boot.offset:
        fields.fail("segments", "does not begin with the boot segment")
    seen: set[str] = set()
    previous: list[Segment] = []
    for segment in disk.segments:
        if segment.id in seen:
            fields.fail("segments", f"holds {names.clip(segment.id)} twice")
        seen.add(segment.id)
        # What of a backup GPT could not be read is made of the primary.
        unread = segment.kind == "gpt-backup" and not segment.used.total
        whole = unread or segment.used == Extents.whole(segment.size)
        if segment.is_table and (segment.size > MAX_TABLE or not whole):
            fields.fail("segments", f"has {segment.id} too long or not wholly used")
        if segment.offset + segment.size > disk.size:
            fields.fail("segments", f"has {segment.id} reach behind the end of the disk")
        if previous and segment.offset < previous[-1].offset:
            fields.fail("segments", "is not in the order of the offsets")
        previous = [other for other in previous if other.offset + other.size > segment.offset]
        for other in previous:
            # Only a disk without a table has this: its first sector is a segment of its own.
            by = segment.offset - other.offset
            if other.kind != "boot" or any(
                other.used.touches(start + by, end + by) for start, end in segment.used
            ):
                fields.fail("segments", f"has {other.id} and {segment.id} overlap")
        previous.append(segment)


def _identity(fields: _Fields) -> Identity:
    result = Identity(*(fields.text(key) for key in ("serial", "wwn", "model")))
    fields.end()
    return result


def _table(fields: _Fields) -> Table:
    result = Table(
        kind=fields.choice("kind", TABLE_KINDS),
        id=fields.text("id"),
        first_lba=fields.number("first_lba"),
        last_lba=fields.number("last_lba"),
        partitions=fields.items("partitions", MAX_SEGMENTS, _table_partition),
    )
    fields.end()
    return result


def _table_partition(fields: _Fields) -> TablePartition:
    result = TablePartition(
        number=fields.number("number", 1, 1 << 16),
        start=fields.number("start"),
        size=fields.number("size"),
        type=fields.text("type"),
        uuid=fields.text("uuid"),
        name=fields.text("name"),
        attrs=fields.text("attrs"),
        bootable=fields.take("bootable", bool),
    )
    fields.end()
    return result


def _segment(fields: _Fields, cell_size: int, sector: int) -> Segment:
    kind = fields.choice("kind", SEGMENT_KINDS)
    offset, size = fields.number("offset"), fields.number("size", sector)
    if offset % sector or size % sector:
        fields.fail("offset", "or size is no multiple of the sector size")
    unit = fields.number("unit", sector, 1 << 20)
    if unit & (unit - 1):
        fields.fail("unit", "is no power of two")
    used = Extents.from_text(fields.take("used", str), unit)
    if used.end > size:
        fields.fail("used", "reaches behind the end of the segment")
    digests = _digests(fields)
    if len(digests) != 32 * used.count_cells(cell_size):
        fields.fail("cells", "does not hold one digest for each cell of the used map")
    result = Segment(
        kind=kind,
        offset=offset,
        size=size,
        used=used,
        digests=digests,
        partition=fields.number("partition", 0, 1 << 16) if "partition" in fields.value else None,
        content=fields.text("content"),
        method=fields.choice("method", METHODS),
        uuid=fields.text("uuid"),
        label=fields.text("label"),
        unreadable=_unreadable(fields, used, sector),
    )
    if (result.partition is None) is (kind in ("partition", "ebr")):
        fields.fail("partition", f"does not fit the kind {kind}")
    fields.end()
    return result


def _digests(fields: _Fields) -> bytes:
    if isinstance(fields.value.get("cells"), bytes):
        return fields.take("cells", bytes)
    cells = fields.take("cells", str)
    try:
        digests = bytes.fromhex(cells)
    except ValueError:
        fields.fail("cells", "is not hexadecimal")
    if digests.hex() != cells:
        fields.fail("cells", "is not lower-case hexadecimal")
    return digests


def _unreadable(fields: _Fields, used: Extents, sector: int) -> Extents:
    if "unreadable" not in fields.value:
        return Extents.of([])
    result = Extents.from_text(fields.take("unreadable", str), sector)
    if not result:
        fields.fail("unreadable", "is empty: then the key is left out")
    if any(used.within(start, end) != [(start, end)] for start, end in result):
        fields.fail("unreadable", "holds bytes that are not in the used map")
    return result


def _manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "stored_bytes": manifest.stored_bytes,
        "agent_version": manifest.agent_version,
        "machine": vars(manifest.machine)
        | {"boot_entries": [vars(entry) for entry in manifest.machine.boot_entries]},
        "cell_size": manifest.cell_size,
        "disks": [_disk_to_json(disk) for disk in manifest.disks],
    }


def _disk_to_json(disk: Disk) -> dict[str, Any]:
    table = vars(disk.table) | {"partitions": [vars(line) for line in disk.table.partitions]}
    segments = [_segment_to_json(segment, disk.logical_sector) for segment in disk.segments]
    return vars(disk) | {
        "identity": vars(disk.identity),
        "table": table,
        "segments": segments,
    }


def _segment_to_json(segment: Segment, sector: int) -> dict[str, Any]:
    unit = segment.used.unit(sector)
    result: dict[str, Any] = {"kind": segment.kind}
    if segment.partition is not None:
        result["partition"] = segment.partition
    if segment.unreadable:
        result["unreadable"] = segment.unreadable.to_text(sector)
    return result | {
        "offset": segment.offset,
        "size": segment.size,
        "content": segment.content,
        "method": segment.method,
        "uuid": segment.uuid,
        "label": segment.label,
        "unit": unit,
        "used": segment.used.to_text(unit),
        "cells": None,
    }
