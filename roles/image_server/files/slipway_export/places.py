# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a volume's bytes lie on the disks of a version: a partition's, or a logical volume's."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from slipway.engine.content.lvm import physical_volume
from slipway.engine.content.lvm_text import parse
from slipway.engine.errors import SlipwayError
from slipway.engine.virtual_disk import VirtualDisk
from slipway.format import Manifest, Segment

_NAME = re.compile(r"(disk\d+)@(\d+)\+(\d+)")
_SECTOR = 512
_MAX_TEXT = 16 << 20

# So many bytes of a disk, from an offset on.
Reading = Callable[[str, int, int], bytes]


@dataclass(frozen=True)
class Piece:
    """A run of bytes of a disk."""

    disk: str
    start: int
    size: int


class Joined:
    """Pieces of disks, one after the other, as one disk."""

    def __init__(self, pieces: Sequence[Piece], disks: dict[str, VirtualDisk]) -> None:
        """`disks` has each one that a piece is of."""
        self._pieces, self._disks = pieces, disks
        self.size = sum(piece.size for piece in pieces)

    def read(self, offset: int, size: int) -> bytes:
        """These bytes. ImageDamaged as for a disk."""
        found, position = [], 0
        for piece in self._pieces:
            start = max(offset - position, 0)
            end = min(offset + size - position, piece.size)
            if start < end:
                disk = self._disks[piece.disk]
                found.append(disk.read(piece.start + start, end - start))
            position += piece.size
        return b"".join(found)

    def extents(self, offset: int, size: int) -> Iterator[tuple[int, int, bool]]:
        """All of it, as if it were in use."""
        yield offset, offset + size, True


def name_of(pieces: Sequence[Piece]) -> str:
    """A name for them that `pieces_of` reads."""
    return ",".join(f"{each.disk}@{each.start}+{each.size}" for each in pieces)


def pieces_of(name: str) -> list[Piece]:
    """The pieces that a name stands for; none when it is that of a disk."""
    found = [_NAME.fullmatch(part) for part in name.split(",")]
    return [Piece(m[1], int(m[2]), int(m[3])) for m in found if m]


def places(manifest: Manifest, read: Reading, name: str) -> list[Piece]:
    """Where a volume of that name lies; empty when that is not known, or not that simple."""
    found = []
    for disk in manifest.disks:
        for segment in disk.segments:
            if segment.kind != "partition":
                continue
            if name == f"{disk.id}:{segment.id}":
                return [Piece(disk.id, segment.offset, segment.size)]
            if segment.content == "LVM2_member" and "/" in name:
                found += _in_group(read, disk.id, segment, name)
    return found


def _in_group(read: Reading, disk: str, segment: Segment, name: str) -> list[Piece]:
    group, _, wanted = name.partition("/")
    try:
        uuid, text = _metadata(lambda at, size: read(disk, segment.offset + at, size))
        metadata = parse(text)
        found = physical_volume(metadata, uuid, segment.size)
    except (SlipwayError, LookupError, TypeError, ValueError, AttributeError, struct.error):
        return []
    if isinstance(found, str) or group not in metadata:
        return []
    return [
        Piece(disk, segment.offset + area.start, area.size)
        for volume in found.volumes
        if volume.name == wanted and not volume.whole
        for area in sorted(volume.areas, key=lambda each: each.logical)
    ]


def _metadata(read: Callable[[int, int], bytes]) -> tuple[str, str]:
    """A physical volume's id without dashes, and the text of its group's metadata."""
    head = read(0, 4 * _SECTOR)
    label = head.index(b"LABELONE")
    [offset] = struct.unpack_from("<I", head, label + 20)
    at = label + offset
    uuid = head[at : at + 32].decode("ascii")
    at += 40
    areas: list[int] = []
    # Two lists of (offset, size), each with an end of zeros: where data lies, and metadata.
    for target in ([], areas):
        while (place := struct.unpack_from("<QQ", head, at))[0]:
            target.append(place[0])
            at += 16
        at += 16
    header = read(areas[0], _SECTOR)
    if header[4:20] != b" LVM2 x[5A%r0N*>":
        raise ValueError("there is no metadata area")
    size, where, length = struct.unpack_from("<QQQ", header, 32)
    if length > min(size, _MAX_TEXT):
        raise ValueError("the metadata is too long")
    # It is a ring behind its header.
    first = min(length, size - where)
    text = read(areas[0] + where, first)
    text += read(areas[0] + _SECTOR, length - first) if length > first else b""
    return uuid, text.rstrip(b"\0").decode("utf-8")
