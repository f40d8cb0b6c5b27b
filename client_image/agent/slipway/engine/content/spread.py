"""Things that lie on several devices: one of these alone is no sound copy of anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What one device holds of such a thing."""

    thing: str
    """For people: `volume group vg0`."""
    own: str
    """The id of this device in it."""
    members: tuple[tuple[str, str], ...]
    """All devices, this one among them: id, and a name for people."""
    id: str = ""
    """Of the thing, as blkid gives it for each of its devices, without dashes."""
    count: int = 0
    """How many devices there are, where they have no ids."""
    remedy: str = ""
    """A further way out where others are missing."""


@dataclass(frozen=True)
class Mirror:
    """What one device says of a mirror whose bytes all lie on it, in one piece."""

    id: str
    name: str
    """For people."""
    events: int
    """How often its state was written down: devices in sync agree."""
    start: int
    """Where its bytes begin on this device."""
    size: int
    trouble: str = ""
    """Why what is in use there can't be told from this device; empty when it can."""
