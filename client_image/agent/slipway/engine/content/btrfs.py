# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs."""

from __future__ import annotations

import heapq
import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from slipway.engine.content.base import Decision, Volume, refusal, unclean
from slipway.engine.run import lines, run
from slipway.format import Extents

_EXTENT = re.compile(r"\titem \d+ key \((\d+) (EXTENT|METADATA)_ITEM (\d+)\)")
_CHUNK = re.compile(r"\titem \d+ key \(\S+ CHUNK_ITEM (\d+)\)")
_LENGTH = re.compile(r"\s+length (\d+) owner \d+ stripe_len \d+ type (\S+)")
_STRIPE = re.compile(r"\s+stripe \d+ devid \d+ offset (\d+)")
# Bits 0 to 11 of incompat_flags; zoned devices and later forms of the extent tree follow.
_KNOWN_FEATURES = 0xFFF
# Boot loaders live in front of the first super block; btrfs leaves all of this alone.
_FRONT = 1 << 20
_SUPER_BLOCKS = (64 << 10, 64 << 20, 256 << 30)
_SUPER_SIZE = 4096


@dataclass(frozen=True)
class Chunk:
    """A range of btrfs' own address space, and where it lies on the device, once or twice."""

    logical: int
    length: int
    positions: tuple[int, ...]


class Btrfs:
    """Its extent tree lists all that is in use, its chunk tree where that lies.

    Partclone reads the same trees, but knows one copy of DUP and at times loses a block.
    """

    types = frozenset({"btrfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a file system that is only partly here or still has a log to replay."""
        fields = _super_block(volume)
        if fields.get("num_devices") != 1:
            raise refusal(
                volume, "spans several devices", "remove the other devices from the file system"
            )
        if fields.get("log_root") != 0:
            raise unclean(
                volume,
                "was not unmounted cleanly: its log is not empty",
                "start the PC's own system and shut it down cleanly",
            )
        if unknown := fields["incompat_flags"] & ~_KNOWN_FEATURES:
            return Decision("whole", f"it has features that are not known here ({unknown:#x})")
        if fields["dev_item.total_bytes"] > volume.size:
            raise refusal(
                volume,
                f"says it has {fields['dev_item.total_bytes']} bytes, its partition has "
                f"{volume.size}",
                "repair the partition table or shrink the file system",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used extents, in all their copies, the super blocks, and all behind the file system."""
        fields = _super_block(volume)
        with lines(_dump("extent", volume)) as text:
            extents = Extents.of(parse_extents(text, fields["nodesize"]))
        with lines(_dump("chunk", volume)) as text:
            chunks = list(parse_chunks(text))
        if extents.total != fields["bytes_used"]:
            raise refusal(
                volume,
                f"has {extents.total} bytes in use, its super block says {fields['bytes_used']}",
                "run btrfs check",
            )
        return placed(extents, chunks, fields["dev_item.total_bytes"], volume.size)


def _super_block(volume: Volume) -> dict[str, int]:
    text = run(["btrfs", "inspect-internal", "dump-super", str(volume.device)]).stdout
    pairs = (line.split()[:2] for line in text.splitlines() if len(line.split()) > 1)
    return {key: int(value, 0) for key, value in pairs if re.fullmatch(r"0x[0-9a-f]+|\d+", value)}


def _dump(tree: str, volume: Volume) -> list[str]:
    return ["btrfs", "inspect-internal", "dump-tree", "-t", tree, str(volume.device)]


def parse_extents(text: Iterable[str], node: int) -> Generator[tuple[int, int], None, None]:
    """Ranges of btrfs' address space, from a dump of the extent tree. `node`: bytes of a block."""
    for line in text:
        if found := _EXTENT.match(line):
            start = int(found[1])
            yield start, start + (int(found[3]) if found[2] == "EXTENT" else node)


def parse_chunks(text: Iterable[str]) -> Generator[Chunk, None, None]:
    """Every chunk, from a dump of the chunk tree."""
    logical, length, positions = 0, 0, list[int]()
    for line in text:
        if found := _CHUNK.match(line):
            if length:
                yield Chunk(logical, length, tuple(positions))
            logical, length, positions = int(found[1]), 0, []
        elif found := _LENGTH.match(line):
            length = int(found[1])
        elif length and (found := _STRIPE.match(line)):
            positions.append(int(found[1]))
    if length:
        yield Chunk(logical, length, tuple(positions))


def placed(extents: Extents, chunks: Iterable[Chunk], end: int, size: int) -> Extents:
    """The extents where they lie on a device of `size` bytes, with what lies outside of chunks.

    `end` is how much of the device the file system takes.
    """
    copies = sorted((at, each) for each in chunks for at in each.positions)
    # In order, so that the ranges of a large disk are never held as a list of pairs.
    inside = (
        (start - chunk.logical + at, stop - chunk.logical + at)
        for at, chunk in copies
        for start, stop in extents.within(chunk.logical, chunk.logical + chunk.length)
    )
    supers = [(at, at + _SUPER_SIZE) for at in _SUPER_BLOCKS]
    fixed = sorted([(0, _FRONT), *supers, (end, size)])
    return Extents.of(heapq.merge(inside, fixed)).clip(0, size)
