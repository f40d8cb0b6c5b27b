"""What a handler of one kind of content has to say: how it is saved, and which bytes are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from slipway.engine.cells import ReadError
from slipway.engine.content.spread import Mirror, Share
from slipway.engine.errors import SourceRefused
from slipway.format import Extents
from slipway.format.manifest import Method

Policy = Literal["refuse", "whole"]
"""What becomes of a volume that its own system did not let go of."""


@dataclass(frozen=True)
class Volume:
    """A partition, or a disk without a table, shown by a read-only device of its own."""

    id: str
    """As the user names it: `disk0:2`."""
    device: Path
    size: int
    sector: int
    type: str
    """By blkid's names; `unknown` when it knows none."""
    fields: dict[str, str] = field(default_factory=dict)
    """Everything blkid says, for example `ID_FS_VERSION`."""
    inside: str = ""
    """Name of the volume in a container, when it is one: `root`."""
    key: bytes | None = field(default=None, repr=False)
    """The passphrase for what is encrypted. Never logged, stored or sent."""
    unclean: Policy = "refuse"

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the volume; fewer at its end."""
        handle = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, size, offset)
        except OSError as error:
            raise ReadError(f"reading at byte {offset} failed: {error.strerror}") from error
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Decision:
    """How a volume will be saved."""

    method: Method
    reason: str = ""
    """Why it is saved whole although Slipway knows its kind; of a container, what is inside."""
    replayed: bool = False
    """Whether its used map is one of before and after a replay of its journal."""
    asleep: bool = False
    """Whether the memory of a hibernated system lies here."""
    shares: tuple[Share, ...] = ()
    """What it is a part of."""
    hashes: int = 0
    """Of how many bytes, of another volume, it holds the hashes."""
    mirror: Mirror | None = None
    """What it is a copy of."""


class Unclean(SourceRefused):
    """Refused because its own system did not let go of it: all its sectors are a sound copy."""

    def __init__(self, message: str, remedy: str, why: str) -> None:
        """`why` is the message without the name of the partition."""
        super().__init__(message, remedy)
        self.why = why


def refusal(volume: Volume, why: str, remedy: str) -> SourceRefused:
    """The error for content whose used map can't be trusted; whole is always a way out."""
    return SourceRefused(
        f"{_name(volume)} {why}",
        f"{remedy}, or save it sector by sector with --whole {volume.id}",
    )


def unclean(volume: Volume, why: str, remedy: str) -> Unclean:
    """The error for content that its own system did not let go of."""
    return Unclean(
        f"{_name(volume)} {why}",
        f"{remedy}, {ways_out(volume.id)}",
        why,
    )


def ways_out(id: str) -> str:
    """What there is to do, besides, about a volume that its own system did not let go of."""
    return (
        f"or save it sector by sector with --whole {id}, or whatever was not "
        "shut down with --unclean whole"
    )


def _name(volume: Volume) -> str:
    where = f"{volume.id}, {volume.inside}" if volume.inside else volume.id
    return f"{where} ({volume.type})"


@dataclass(frozen=True)
class Inner:
    """What is in a volume inside a container."""

    type: str
    decision: Decision
    used: Extents
    """Empty unless it was asked for."""

    def __str__(self) -> str:
        """For a container's reason."""
        why = f" ({self.decision.reason})" if self.decision.reason else ""
        return f"{self.type} {self.decision.method}{why}"


def without_bad(used: Extents, bad: Iterable[tuple[int, int]], size: int) -> Extents:
    """A used map of `size` bytes without what the disk is known not to hold: nobody's data."""
    return used.complement(size).union(bad).complement(size)


Look = Callable[[Volume, bool], Inner]
"""Identifies a volume inside a container and decides; maps it, too, when told to."""


class Handler(Protocol):
    """Knows one family of content. New ones are listed in `registry`."""

    types: frozenset[str]

    def decide(self, volume: Volume) -> Decision:
        """Look at a few sectors. Raises SourceRefused when a copy would not be sound."""

    def used(self, volume: Volume) -> Extents:
        """The used map for method `used` or `swap`: never less than what is in use."""
