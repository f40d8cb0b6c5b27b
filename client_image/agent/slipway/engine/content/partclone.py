"""Used maps by partclone's domain mode, `partclone.<fs> -D`: a ddrescue-style text."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.engine.content.base import Volume
from slipway.engine.errors import ToolError
from slipway.engine.run import lines
from slipway.format import Extents


def parse_map(text: Iterable[str], size: int) -> Extents:
    """Read a domain text about `size` bytes; what it does not reach counts as used."""
    ranges: list[tuple[int, int]] = []
    position, status_line = 0, True
    for line in text:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if status_line and len(words) == 2:
            status_line = False
            continue
        try:
            start, length = int(words[0], 16), int(words[1], 16)
            known = words[2] in ("+", "?") and len(words) == 3
        except (ValueError, IndexError):
            known = False
        if not known or start != position or length <= 0:
            raise ToolError(f"partclone wrote a map that can't be read, at {line.strip()[:60]!r}")
        position = start + length
        if words[2] == "+":
            ranges.append((start, position))
    if not position:
        raise ToolError("partclone wrote an empty map")
    if position > size:
        raise ToolError(f"the file system says it has {position} bytes, its partition has {size}")
    # NTFS and FAT keep a backup boot sector behind the part that they map.
    return Extents.of([*ranges, (position, size)])


def partclone_map(program: str, volume: Volume, *options: str) -> Extents:
    """Run `partclone.<program>` over the volume. `-f 0` keeps its progress thread from sleeping."""
    argv = [
        f"partclone.{program}", "-D", "-q", "-f", "0", "-L", "/dev/null", *options,
        "-s", str(volume.device), "-o", "-",
    ]  # fmt: skip
    with lines(argv) as text:
        return parse_map(text, volume.size)
