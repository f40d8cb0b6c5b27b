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
