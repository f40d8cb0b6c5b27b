"""Members of Linux and firmware RAID arrays. One of them alone is no sound copy of anything:
written back beside a member of another time, it would be mixed with that.

Nothing is assembled: mdadm reads the super blocks, and a mirror's bytes lie on each member.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from slipway.engine.content.base import Decision, Look, Volume
from slipway.engine.content.md import MIRROR, Member, examine
from slipway.engine.content.spread import Mirror, Share
from slipway.engine.errors import SourceRefused
from slipway.engine.loop import read_only_loop
from slipway.engine.run import run
from slipway.format import Extents

_LINUX = "linux_raid_member"
# Firmware's formats whose members mdadm can count, by mdadm's names.
_COUNTED = {"ddf_raid_member": "ddf", "isw_raid_member": "imsm"}
_OTHERS = ("adaptec", "hpt37x", "hpt45x", "jmicron", "lsi_mega", "nvidia", "promise_fasttrack",
           "silicon_medley", "via")  # fmt: skip


class RaidMember:
    """Mirrors of Linux by what is in use inside, all others whole; with all members only."""

    types = frozenset({_LINUX, *_COUNTED, *(f"{kind}_raid_member" for kind in _OTHERS)})

    def __init__(self, look: Look) -> None:
        """`look` decides about the content of a mirror, and maps it."""
        self._look = look

    def decide(self, volume: Volume) -> Decision:
        """What can be told from this member; whether all are here and agree is judged later."""
        # In a container there may be anything: what lies around it is not known here.
        if volume.inside:
            raise _left_alone(volume, "it lies in another container")
        if volume.type in _COUNTED:
            return _firmware(volume, _COUNTED[volume.type])
        if volume.type != _LINUX:
            raise _left_alone(volume, "nobody here can tell how many members that has")
        member = _read(volume)
        shares = (_share(volume, member),)
        if member.level != MIRROR:
            kind = f"{member.level} of {len(member.state)} devices"
            return Decision("whole", f"a part of a RAID array ({kind})", shares=shares)
        place = (member.events, member.start, member.size)
        mirror = Mirror(member.array, member.name, *place, member.trouble)
        if member.trouble:
            return Decision("whole", member.trouble, shares=shares, mirror=mirror)
        with _opened(volume, member) as inside:
            found = self._look(inside, False)
        return replace(
            found.decision,
            method="used",
            reason=f"a mirror of {len(member.state)} devices, inside: {found}",
            shares=shares + found.decision.shares,
            mirror=mirror,
        )

    def used(self, volume: Volume) -> Extents:
        """All outside of the mirror's bytes, and what is in use inside."""
        member = _read(volume)
        with _opened(volume, member) as inside:
            used = self._look(inside, True).used
        around = [(0, member.start), (member.start + member.size, volume.size)]
        return used.shift(member.start).union(around)


def _read(volume: Volume) -> Member:
    try:
        member = examine(volume.device, volume.fields.get("ID_FS_VERSION", ""))
    except (KeyError, ValueError, IndexError) as error:
        raise _left_alone(volume, "its super block can't be relied on") from error
    if not 0 <= member.start <= member.start + member.size <= volume.size:
        raise _left_alone(volume, "its super block says that it is larger than it is")
    return member


@contextmanager
def _opened(volume: Volume, member: Member) -> Generator[Volume, None, None]:
    place = (volume.device, member.start, member.size)
    with read_only_loop(*place, volume.sector) as device:
        yield replace(volume, device=device, size=member.size, inside="its array")


def _share(volume: Volume, member: Member) -> Share:
    """All devices that the array should have; of a degraded one that is wanted, those it has."""
    roles = [
        number
        for number, letter in enumerate(member.state)
        if letter == "A" or volume.unclean == "refuse"
    ]
    return Share(
        f"RAID array {member.name}",
        f"{member.array}:{volume.id if member.role is None else member.role}",
        tuple((f"{member.array}:{role}", f"device {role}") for role in roles),
        id=member.array,
        remedy=_old_mark(volume),
    )


def _firmware(volume: Volume, kind: str) -> Decision:
    query = ["mdadm", "--examine", "--export", f"--metadata={kind}", str(volume.device)]
    pairs = (line.partition("=") for line in run(query, ok=None).stdout.splitlines())
    found = {key: value for key, _, value in pairs}
    if "MD_UUID" not in found or not found.get("MD_DEVICES", "").isdigit():
        raise _left_alone(volume, "its super block can't be relied on")
    uuid, count = found["MD_UUID"], int(found["MD_DEVICES"])
    share = Share(
        f"RAID array {uuid}",
        f"{uuid}:{volume.id}",
        (),
        id=uuid.replace(":", ""),
        count=count,
        remedy=_old_mark(volume),
    )
    reason = f"a part of a RAID array of the PC's firmware ({kind}, {count} devices)"
    return Decision("whole", reason, shares=(share,))


def _old_mark(volume: Volume) -> str:
    return f"if it is the rest of an old array, remove that mark with wipefs --types {volume.type}"


def _left_alone(volume: Volume, why: str) -> SourceRefused:
    return SourceRefused(
        f"{volume.id} ({volume.type}) is a member of a RAID array and is left alone: {why}",
        "save all members of the array, stopped, in one image, each sector by sector with "
        f"--whole {volume.id} and so on; {_old_mark(volume)}",
    )
