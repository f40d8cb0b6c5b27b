# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of media: one version of an image on several folders, and which folder has which chunk.

Every medium says in its `set.json` what set it belongs to and which one of it it is: labels are
for people, and two sets may have the same.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.format.errors import FormatError
from slipway.format.manifest import Manifest
from slipway.format.names import check_digest, check_name, check_version, clip

SET_VERSION = 1
MAX_SET = 1 << 20
MAX_DISCS = 1000
# Media by name with their bytes, and what stands for one of any size.
CAPACITIES: Mapping[str, int] = {
    "cd": 737_280_000,
    "dvd": 4_700_372_992,
    "dvd-dl": 8_547_991_552,
    "bd": 25_025_314_816,
    "bd-dl": 50_050_629_632,
}
STICK = "usb"
MEDIA = (*CAPACITIES, STICK)
# What ISO 9660 allows for the name of a volume.
_LABEL = re.compile(r"[A-Z0-9_]{1,32}")
_KEYS = frozenset({"slipway_set", "id", "image", "version", "manifest", "disc", "labels", "starts"})


@dataclass(frozen=True)
class MediaSet:
    """What `set.json` of one medium says."""

    id: str
    image: str
    version: str
    manifest: str
    """SHA-256 of the manifest's file."""
    disc: int
    """Which one of the set this is, from 1 on."""
    labels: tuple[str, ...]
    """Names of the volumes, in order: as many as there are discs."""
    starts: tuple[int, ...]
    """The first chunk of each disc, as a position in `Manifest.chunks`."""

    @property
    def count(self) -> int:
        """How many discs there are."""
        return len(self.labels)

    def name(self, disc: int = 0) -> str:
        """A disc for people; this one when none is named."""
        number = disc or self.disc
        if self.count == 1:
            return f"the medium of {self.image}@{self.version}"
        return (
            f"disc {number} of {self.count} of {self.image}@{self.version} "
            f"({self.labels[number - 1]})"
        )

    def disc_of(self, position: int) -> int:
        """The disc that has the chunk at this position, beside those that all of them have."""
        return bisect_right(self.starts, position)


def repeated_chunks(manifest: Manifest) -> dict[str, None]:
    """Chunks that each disc of a set has, in the manifest's order.

    They are wanted before the first write or after the last one: tables, gaps, and the first cell
    of each partition, which goes last where it alone is restored.
    """
    found: dict[str, None] = {}
    for segment in manifest.segments():
        for cell in segment.cells(manifest.cell_size):
            if segment.kind != "partition" or cell.number == 0:
                found[cell.digest] = None
    return found


def serialize_set(media_set: MediaSet) -> bytes:
    """The file `set.json`."""
    facts = {"slipway_set": SET_VERSION} | vars(media_set)
    return json.dumps(facts, separators=(",", ":")).encode("ascii") + b"\n"


def parse_set(data: bytes) -> MediaSet:
    """Read `set.json` from a medium that nobody vouches for; every fault is a FormatError."""
    if len(data) > MAX_SET:
        raise FormatError(f"set.json has more than {MAX_SET} bytes")
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"set.json is no JSON: {error}") from error
    if not isinstance(facts, dict) or "slipway_set" not in facts:
        raise FormatError("set.json is not one of Slipway's")
    if facts["slipway_set"] != SET_VERSION:
        raise FormatError(
            f"the set has another format version than {SET_VERSION}, the only one that this "
            "program reads"
        )
    if facts.keys() != _KEYS:
        raise FormatError(f"set.json has other keys than {', '.join(sorted(_KEYS))}")
    return _checked(facts)


def _checked(facts: Mapping[str, Any]) -> MediaSet:
    labels, starts, disc = facts["labels"], facts["starts"], facts["disc"]
    if not isinstance(labels, list) or not 1 <= len(labels) <= MAX_DISCS:
        raise FormatError(f"a set has 1 to {MAX_DISCS} discs")
    for label in labels:
        if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
            raise FormatError(f"{clip(label)} is no label of a disc")
    numbers = isinstance(starts, list) and all(type(each) is int for each in starts)
    if not numbers or len(starts) != len(labels) or starts[0] != 0 or sorted(starts) != starts:
        raise FormatError("set.json does not say which disc has which chunks")
    if type(disc) is not int or not 1 <= disc <= len(labels):
        raise FormatError(f"the set has no disc {clip(str(disc))}")
    return MediaSet(
        check_digest(facts["id"]),
        check_name(facts["image"]),
        check_version(facts["version"]),
        check_digest(facts["manifest"]),
        disc,
        tuple(labels),
        tuple(starts),
    )
