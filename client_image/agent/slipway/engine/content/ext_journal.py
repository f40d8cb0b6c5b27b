# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of an ext3 or ext4 knows about blocks in use that the bitmaps do not know yet.

Nothing is replayed. debugfs lists which blocks stand in the journal, and where, and need not mind
checksums of bitmaps that were half written back. Every copy of a block bitmap there is read, also
those that a replay would skip or overwrite. So the answer is never less than what is in use after
the restored PC has replayed its journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from slipway.engine.content.base import Volume
from slipway.engine.errors import ToolError
from slipway.engine.run import lines, run

_STARTS = re.compile(r"^Journal starts at block (\d+)")
_LOGGED = re.compile(r"^\s+FS block (\d+) logged at .*journal block (\d+) \(flags 0x([0-9a-f]+)\)")
_BITMAP = re.compile(r"^  Block bitmap at (\d+)")
_GROUP = re.compile(r"^Group (\d+):")
_MAPPED = re.compile(r"^(\d+)$", re.MULTILINE)
# A block that begins like the journal's own blocks stands there with zeros in front.
_ESCAPED, _MAGIC = 0x1, b"\xc0\x3b\x39\x98"
_BITS = tuple(format(value, "08b")[::-1] for value in range(256))
_IN_USE = re.compile("1+")


def in_use_after_replay(volume: Volume, fields: dict[str, str]) -> list[tuple[int, int]]:
    """Ranges in bytes, by the bitmaps in the journal. `fields` are those of the superblock."""
    block = int(fields["Block size"])
    cluster = int(fields.get("Cluster size", block))
    per_group = int(fields.get("Clusters per group", fields["Blocks per group"]))
    begin = int(fields["First block"]) * block
    groups = _bitmaps(volume, fields)
    copies = [each for each in _logged(volume) if each[0] in groups]
    places = _places(volume, [place for _, place, _ in copies])
    ranges = []
    for (number, _, flags), place in zip(copies, places, strict=True):
        bitmap = volume.read(place * block, block)
        if flags & _ESCAPED:
            bitmap = _MAGIC + bitmap[len(_MAGIC) :]
        first = groups[number] * per_group
        bits = "".join(_BITS[value] for value in bitmap)[:per_group]
        ranges += [
            (begin + (first + found.start()) * cluster, begin + (first + found.end()) * cluster)
            for found in _IN_USE.finditer(bits)
        ]
    return ranges


def _bitmaps(volume: Volume, fields: dict[str, str]) -> dict[int, int]:
    """The group of each block bitmap, by the bitmap's block."""
    blocks = int(fields["Block count"]) - int(fields["First block"])
    found: dict[int, int] = {}
    group = 0
    with lines(["dumpe2fs", str(volume.device)], ok=False) as text:
        for line in text:
            if match := _GROUP.match(line):
                group = int(match[1])
            elif match := _BITMAP.match(line):
                found[int(match[1])] = group
    if len(found) != -(-blocks // int(fields["Blocks per group"])):
        raise ToolError("dumpe2fs does not say where all bitmaps lie")
    return found


def _logged(volume: Volume) -> Iterator[tuple[int, int, int]]:
    """Each block in the journal: its number, its place in the journal, its flags."""
    known = False
    with lines(["debugfs", "-n", "-R", "logdump -a", str(volume.device)]) as text:
        for line in text:
            known = known or _STARTS.match(line) is not None
            if match := _LOGGED.match(line):
                yield int(match[1]), int(match[2]), int(match[3], 16)
    if not known:
        raise ToolError("debugfs can't read the journal")


def _places(volume: Volume, blocks: Sequence[int]) -> list[int]:
    """Blocks of the journal as blocks of the file system."""
    questions = "".join(f"bmap <8> {number}\n" for number in blocks)
    command = ["debugfs", "-n", "-f", "/dev/stdin", str(volume.device)]
    answers = _MAPPED.findall(run(command, input=questions.encode()).stdout)
    if len(answers) != len(blocks) or "0" in answers:
        raise ToolError("debugfs does not say where the journal lies")
    return [int(answer) for answer in answers]
