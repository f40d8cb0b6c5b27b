# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition table and the boot code of a target: compared as bytes, written last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.engine import gpt, mbr
from slipway.engine.errors import ImageDamaged
from slipway.engine.store import ChunkSource, fetch_content
from slipway.engine.table import is_container
from slipway.engine.target import Target
from slipway.format import Disk, FormatError, Segment

_ORDER = {"ebr": 0, "gpt-backup": 1, "boot": 2}


@dataclass(frozen=True)
class Piece:
    """Bytes that belong at one place of the target."""

    segment: Segment
    offset: int
    content: bytes


class TableWriter:
    """Holds all table segments in memory, so that nothing can be missing once writing began."""

    def __init__(
        self,
        target: Target,
        image: Disk,
        store: ChunkSource,
        cell_size: int,
        ends: Mapping[int, int] | None = None,
        starts: Mapping[int, int] | None = None,
    ) -> None:
        """Fetch the table segments, and make them fit the target.

        `ends` has the partitions that get another end, `starts` those that move, in bytes on the
        disk, by number.
        """
        self._target = target
        self._sector = image.logical_sector
        pieces = restored_table(image, store, cell_size, target.disk.size, ends, starts)
        self._pieces = sorted(pieces, key=lambda each: (_ORDER[each.segment.kind], each.offset))

    def differing(self) -> list[Segment]:
        """The table segments that are not yet as they should be."""
        return [
            piece.segment
            for piece in self._pieces
            if self._target.read(piece.offset, len(piece.content)) != piece.content
        ]

    def write(self) -> int:
        """Write what differs, sector 0 behind everything else; return how many bytes."""
        if not self._pieces:
            return 0
        self._target.disarm()
        written, first = 0, b""
        for piece in self._pieces:
            content, offset = piece.content, piece.offset
            if offset == 0:
                first, content, offset = (
                    content[: self._sector],
                    content[self._sector :],
                    self._sector,
                )
            if content and self._target.read(offset, len(content)) != content:
                self._target.write(offset, content)
                written += len(content)
        self._target.flush()
        self._target.write(0, first)
        self._target.flush()
        self._target.reread_table()
        return written + len(first)


def restored_table(
    image: Disk,
    store: ChunkSource,
    cell_size: int,
    size: int,
    ends: Mapping[int, int] | None = None,
    starts: Mapping[int, int] | None = None,
) -> list[Piece]:
    """The table segments as they belong on a disk of `size` bytes, all in memory."""
    pieces = [
        Piece(segment, segment.offset, _content(segment, store, cell_size))
        for segment in image.segments
        if segment.is_table
    ]
    unread = any(piece.segment.used.total == 0 for piece in pieces)
    if image.table.kind == "gpt" and pieces and (ends or unread or size != image.size):
        return _placed(pieces, image, size, ends or {}, starts or {})
    if image.table.kind == "dos" and (ends or size < image.size):
        return [_resized(piece, image, size, ends or {}, starts or {}) for piece in pieces]
    return pieces


def _content(segment: Segment, store: ChunkSource, cell_size: int) -> bytes:
    content = bytearray(segment.size)
    for cell in segment.cells(cell_size):
        start = cell.offset - segment.offset
        content[start : start + cell.size] = fetch_content(store, cell.digest, cell.size)
    return bytes(content)


def _placed(
    pieces: list[Piece],
    image: Disk,
    size: int,
    ends: Mapping[int, int],
    starts: Mapping[int, int],
) -> list[Piece]:
    by_kind = {piece.segment.kind: piece for piece in pieces}
    boot, backup = by_kind.get("boot"), by_kind.get("gpt-backup")
    if boot is None or backup is None:
        raise ImageDamaged(f"{image.id} of the image has a GPT without its parts")
    try:
        new_boot, new_backup, offset = gpt.place(
            boot.content, backup.content, image.logical_sector, (image.size, size), ends, starts
        )
    except FormatError as error:
        raise ImageDamaged(
            f"{image.id} of the image: {error}", "restore to a disk of exactly the same size"
        ) from error
    return [Piece(boot.segment, 0, new_boot), Piece(backup.segment, offset, new_backup)]


def _resized(
    piece: Piece, image: Disk, size: int, ends: Mapping[int, int], starts: Mapping[int, int]
) -> Piece:
    """A piece of an MBR: the record at its beginning, followed by boot code or nothing."""
    sector = image.logical_sector
    own = piece.offset // sector
    bases = (own, _chain_start(image, own)) if piece.segment.kind == "ebr" else (0, 0)
    moves = [
        mbr.Move(
            line.start,
            line.start + line.size,
            ends[line.number] // sector,
            starts.get(line.number, line.start * sector) // sector,
        )
        for line in image.table.partitions
        if line.number in ends
    ]
    record = mbr.resized(piece.content[:sector], bases, moves, size // sector)
    return Piece(piece.segment, piece.offset, record + piece.content[sector:])


def _chain_start(image: Disk, own: int) -> int:
    """Where the extended partition begins that holds the record at sector `own`."""
    starts = [
        line.start
        for line in image.table.partitions
        if is_container(image.table, line) and line.start <= own < line.start + line.size
    ]
    return starts[0] if starts else own
