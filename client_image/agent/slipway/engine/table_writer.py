# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition table and the boot code of a target: compared as bytes, written last."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.engine import gpt, mbr
from slipway.engine.errors import ImageDamaged
from slipway.engine.fit import Fit
from slipway.engine.mbr import Change, Move
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
        fit: Fit,
    ) -> None:
        """Fetch the table segments, and make them fit the target."""
        self._target = target
        self._sector = image.logical_sector
        pieces = restored_table(image, store, cell_size, target.disk.size, fit)
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
    image: Disk, store: ChunkSource, cell_size: int, size: int, fit: Fit
) -> list[Piece]:
    """The table segments as they belong on a disk of `size` bytes, all in memory."""
    pieces = [
        Piece(segment, segment.offset, _content(segment, store, cell_size))
        for segment in image.segments
        if segment.is_table
    ]
    unread = any(piece.segment.used.total == 0 for piece in pieces)
    if image.table.kind == "gpt" and pieces and (fit.ends or unread or size != image.size):
        return _placed(pieces, image, size, fit)
    if image.table.kind == "dos" and (fit.ends or size < image.size):
        change = _change(image, size, fit)
        return [_changed(piece, image, change) for piece in pieces]
    return pieces


def _content(segment: Segment, store: ChunkSource, cell_size: int) -> bytes:
    content = bytearray(segment.size)
    for cell in segment.cells(cell_size):
        start = cell.offset - segment.offset
        content[start : start + cell.size] = fetch_content(store, cell.digest, cell.size)
    return bytes(content)


def _placed(pieces: list[Piece], image: Disk, size: int, fit: Fit) -> list[Piece]:
    by_kind = {piece.segment.kind: piece for piece in pieces}
    boot, backup = by_kind.get("boot"), by_kind.get("gpt-backup")
    if boot is None or backup is None:
        raise ImageDamaged(f"{image.id} of the image has a GPT without its parts")
    try:
        new_boot, new_backup, offset = gpt.place(
            boot.content,
            backup.content,
            image.logical_sector,
            (image.size, size),
            fit.ends,
            fit.starts,
        )
    except FormatError as error:
        raise ImageDamaged(
            f"{image.id} of the image: {error}", "restore to a disk of exactly the same size"
        ) from error
    return [Piece(boot.segment, 0, new_boot), Piece(backup.segment, offset, new_backup)]


def _change(image: Disk, size: int, fit: Fit) -> Change:
    """What becomes of the partitions of an MBR, in sectors."""
    sector = image.logical_sector
    moves = [
        Move(
            line.start,
            line.start + line.size,
            fit.ends.get(line.number, (line.start + line.size) * sector) // sector,
            fit.starts.get(line.number, line.start * sector) // sector,
        )
        for line in image.table.partitions
        if not is_container(image.table, line)
    ]
    records = {old // sector: new // sector for old, new in fit.records.items()}
    return Change(moves, size // sector, records)


def _changed(piece: Piece, image: Disk, change: Change) -> Piece:
    """A piece of an MBR: the record at its beginning, followed by boot code or nothing."""
    sector = image.logical_sector
    own = piece.offset // sector
    old, new = (0, 0), (0, 0)
    if piece.segment.kind == "ebr":
        was = next((before for before, now in change.records.items() if now == own), own)
        first = _chain_start(image, was)
        old, new = (was, first), (own, change.records.get(first, first))
    record = mbr.changed(piece.content[:sector], change, old, new)
    return Piece(piece.segment, piece.offset, record + piece.content[sector:])


def _chain_start(image: Disk, own: int) -> int:
    """Where the extended partition begins that holds the record at sector `own`."""
    starts = [
        line.start
        for line in image.table.partitions
        if is_container(image.table, line) and line.start <= own < line.start + line.size
    ]
    return starts[0] if starts else own
