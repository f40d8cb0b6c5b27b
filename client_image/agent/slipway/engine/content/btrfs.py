"""btrfs."""

from __future__ import annotations

import re

from slipway.engine.content.base import Decision, Volume, refusal
from slipway.engine.content.partclone import partclone_map
from slipway.engine.run import lines, run
from slipway.format import Extents

_FIELD = re.compile(r"^(\w+)\s+(\d+)$", re.MULTILINE)
_LENGTH = re.compile(r"\s+length (\d+) owner \d+ stripe_len \d+ type (\S+)")
_STRIPE = re.compile(r"\s+stripe \d+ devid \d+ offset (\d+)")


class Btrfs:
    """Partclone maps one copy of what btrfs keeps twice; the chunk tree tells where both are."""

    types = frozenset({"btrfs"})

    def decide(self, volume: Volume) -> Decision:
        """Refuse a file system that is only partly here or still has a log to replay."""
        query = ["btrfs", "inspect-internal", "dump-super", str(volume.device)]
        fields = dict(_FIELD.findall(run(query).stdout))
        if fields.get("num_devices") != "1":
            raise refusal(
                volume, "spans several devices", "remove the other devices from the file system"
            )
        if fields.get("log_root") != "0":
            raise refusal(
                volume,
                "was not unmounted cleanly: its log is not empty",
                "start the PC's own system and shut it down cleanly",
            )
        return Decision("used")

    def used(self, volume: Volume) -> Extents:
        """Used blocks, both copies of those with profile DUP."""
        return mirrored(partclone_map("btrfs", volume), _copies(volume))


def _copies(volume: Volume) -> list[tuple[int, list[int]]]:
    """Length and positions of every chunk that lies on the device more than once."""
    chunks: list[tuple[int, list[int]]] = []
    query = ["btrfs", "inspect-internal", "dump-tree", "-t", "chunk", str(volume.device)]
    with lines(query) as text:
        for line in text:
            if found := _LENGTH.match(line):
                chunks.append((int(found[1]), []))
            elif (found := _STRIPE.match(line)) and chunks:
                chunks[-1][1].append(int(found[1]))
    return [chunk for chunk in chunks if len(chunk[1]) > 1]


def mirrored(used: Extents, copies: list[tuple[int, list[int]]]) -> Extents:
    """`used` with the runs of every copy in all its other copies."""
    added: list[tuple[int, int]] = []
    for length, positions in copies:
        for position in positions:
            for start, end in used.within(position, position + length):
                added += [
                    (start - position + other, end - position + other)
                    for other in positions
                    if other != position
                ]
    return used.union(added)
