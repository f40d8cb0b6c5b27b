"""Members of Linux RAID arrays, by what mdadm reads from their super blocks (0.90 and 1.x)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.devices import clean
from slipway.engine.run import run

MIRROR = "raid1"
_KIB, _SECTOR = 1024, 512
# Features that do not matter here: a bitmap of what is being written, a log of bad blocks.
_KNOWN = 0x1 | 0x8
_ACTIVE = re.compile(r"^Active device (\d+)$")
# Of version 0.90: a number or `this`, number, major, minor, role, state and node of a device.
_ROW = re.compile(r"^ *(this|\d+) +\d+ +\d+ +\d+ +(\d+) +([a-z -]+)", re.MULTILINE)


@dataclass(frozen=True)
class Member:
    """What a super block says; sizes in bytes."""

    array: str
    """UUID of the array, without separators."""
    name: str
    level: str
    """By mdadm's names: `raid1`."""
    role: int | None
    """Its number among the devices in use; None for a spare or a journal."""
    state: str
    """A letter for each device that the array should have: `A` for one that it uses."""
    events: int
    start: int
    size: int
    """Of the array, for a mirror."""
    trouble: str
    """Why its content is none to rely on; empty when it is in sync by its own word."""


def examine(device: Path, version: str) -> Member:
    """Read the super block of blkid's `version`. ValueError or KeyError when it is not sound."""
    kind = "0.90" if version.startswith("0.") else version
    text = run(["mdadm", "--examine", f"--metadata={kind}", str(device)]).stdout
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" : ")
        fields.setdefault(key.strip(), value.strip())
    if not fields["Checksum"].endswith("- correct"):
        raise ValueError("its checksum is wrong")
    old = kind == "0.90"
    uuid = fields["UUID" if old else "Array UUID"].split()[0]
    role, state = _by_table(text, fields) if old else _by_fields(fields)
    level = fields["Raid Level"]
    return Member(
        array=uuid.replace(":", ""),
        name=clean(fields.get("Name", uuid)).partition(" (local to ")[0],
        level=level,
        role=role,
        state=state,
        events=int(fields["Events"]),
        start=_number(fields.get("Data Offset", "0")) * _SECTOR,
        size=_number(fields["Array Size"]) * _KIB if level == MIRROR else 0,
        trouble=_trouble(fields, role, state),
    )


def _by_table(text: str, fields: dict[str, str]) -> tuple[int | None, str]:
    own, active = None, set[int]()
    for this, role, words in _ROW.findall(text):
        if {"active", "sync"} <= set(words.split()):
            active.add(int(role))
            own = int(role) if this == "this" else own
    count = int(fields["Raid Devices"])
    return own, "".join("A" if role in active else "." for role in range(count))


def _by_fields(fields: dict[str, str]) -> tuple[int | None, str]:
    found = _ACTIVE.match(fields["Device Role"])
    return int(found[1]) if found else None, fields["Array State"].split()[0]


def _number(text: str) -> int:
    return int(text.split()[0])


def _trouble(fields: dict[str, str], role: int | None, state: str) -> str:
    if role is None:
        return "it is a spare, a journal or faulty"
    if state != "A" * int(fields["Raid Devices"]):
        return "its array is degraded"
    if "Reshape pos'n" in fields or int(fields.get("Feature Map", "0"), 16) & ~_KNOWN:
        return "its array is being rebuilt or changed"
    if fields["State"].split()[0] != "clean":
        return "its array was not stopped cleanly, or is not in sync yet"
    if "bad blocks present" in fields.get("Bad Block Log", ""):
        return "its array knows of bad blocks on it"
    return ""
