# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the chunks lie on a disc, read from what xorriso writes before them.

xorriso takes its input in blocks of 2 KiB, which costs more than to prove a chunk. So it writes the
volume, its folders and all small files, and is stopped at the first chunk: where each chunk goes
and how long the disc is stands there already. What follows is as it would have written it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from slipway.engine.gpt import place
from slipway.engine.table import parse_gpt_header

from slipway_media import tools
from slipway_media.errors import MediaError
from slipway_media.spanning import SECTOR

_VOLUME, _GPT_SECTOR, _ESP_NUMBER = 16 * SECTOR, 512, 2
_STEP = 1 << 20


class Digest(Protocol):
    """A digest under way, as hashlib has them."""

    def update(self, piece: bytes, /) -> None:
        """Take in more."""

    def hexdigest(self) -> str:
        """The digest of what was taken in."""


@dataclass(frozen=True)
class Layout:
    """Places on a disc, in bytes."""

    chunks: int
    """Where the first one begins; the others follow, each from a sector on."""
    chunks_end: int
    end: int
    efi: int = 0
    """Where the partition begins that UEFI starts."""
    second_gpt: bytes = b""


class Head:
    """The beginning of a disc, as far as it is written, and the digest of that."""

    def __init__(self, source: IO[bytes], file: IO[bytes]) -> None:
        """Read from `source`, write to `file`, which can be read, too."""
        self.digest: Digest = hashlib.sha256()
        self._source, self._file, self._end = source, file, 0

    def until(self, end: int) -> None:
        """Write up to a place. EOFError: there is not so much."""
        while self._end < end:
            step = self._source.read(min(_STEP, end - self._end))
            if not step:
                raise EOFError
            self._file.write(step)
            self.digest.update(step)
            self._end += len(step)

    def read(self, start: int, length: int) -> bytes:
        """Bytes of it."""
        self.until(start + length)
        self._file.flush()
        return os.pread(self._file.fileno(), length, start)


def write_head(
    command: Sequence[str], file: IO[bytes], chunks: Sequence[tuple[str, int]]
) -> tuple[Layout, Digest]:
    """Write a disc as far as to its chunks; what is to follow, and the digest of what was written.

    `chunks` are names and bytes of their files, as they are to lie there.
    """
    with tools.reading(*command) as source:
        head = Head(source, file)
        layout = _layout(head, chunks)
        head.until(layout.chunks)
    return layout, head.digest


def _layout(head: Head, chunks: Sequence[tuple[str, int]]) -> Layout:
    volume = head.read(_VOLUME, SECTOR)
    end = int.from_bytes(volume[80:84], "little") * SECTOR
    found = sorted((*_extent(record), record) for record in _chunks(head, volume[156:190]))
    start = chunks_end = found[0][0] if found else end
    if len(found) != len(chunks):
        raise changed()
    for (at, size, record), (name, wanted) in zip(found, chunks, strict=True):
        # Rock Ridge has the whole name in the record.
        if (at, size) != (chunks_end, wanted) or name.encode() not in record:
            raise changed()
        chunks_end += -(-size // SECTOR) * SECTOR
    return _booting(head, Layout(start, chunks_end, end))


def changed() -> MediaError:
    """The files of the store are not those of the plan."""
    return MediaError(
        "A chunk of the store was changed while the media were being made.", "Run it again."
    )


def _booting(head: Head, layout: Layout) -> Layout:
    """The same with what a disc that starts has behind its chunks."""
    header = parse_gpt_header(head.read(_GPT_SECTOR, _GPT_SECTOR))
    if header is None or layout.chunks == layout.end:
        return layout
    length = header.entry_count * header.entry_size
    first = header.entries * _GPT_SECTOR
    entry = first + (_ESP_NUMBER - 1) * header.entry_size
    efi = int.from_bytes(head.read(entry + 32, 8), "little") * _GPT_SECTOR
    room = bytes(-(-length // _GPT_SECTOR) * _GPT_SECTOR + _GPT_SECTOR)
    boot = head.read(0, first + length)
    _, second, _ = place(boot, room, _GPT_SECTOR, (layout.end, layout.end), {})
    return Layout(layout.chunks, layout.chunks_end, layout.end, efi, second)


def _chunks(head: Head, root: bytes) -> Iterator[bytes]:
    """The record of each file below the folder of chunks."""
    for name, record in _records(head, root):
        if name == b"CHUNKS":
            for _, folder in _records(head, record):
                yield from (file for _, file in _records(head, folder))


def _records(head: Head, folder: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and record of all that is in a folder of ISO 9660."""
    content = head.read(*_extent(folder))
    at = 0
    while at < len(content):
        length = content[at]
        if not length:
            # A record does not cross the end of a sector.
            at += SECTOR - at % SECTOR
            continue
        record = content[at : at + length]
        name = record[33 : 33 + record[32]]
        # The folder itself and the one above come first.
        if name not in (b"\0", b"\1"):
            yield name, record
        at += length


def _extent(record: bytes) -> tuple[int, int]:
    """Place and bytes of what a record is of."""
    at, size = record[2:6], record[10:14]
    return int.from_bytes(at, "little") * SECTOR, int.from_bytes(size, "little")
