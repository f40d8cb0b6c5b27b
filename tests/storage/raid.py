# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of Linux RAID arrays as the kernel leaves them, crafted: md needs no driver to be read.

Layouts are those of the kernel's md_p.h; `mdadm --examine` has to accept what is built here.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from .conftest import Agent
from .disk_builder import MAKERS, MIB, attached, filled, sh

_MAGIC, _DONE = 0xA92B4EFC, 2**64 - 1
_ROLES = 128
_LEVELS = {"linear": 0xFFFFFFFF}
_LAYOUTS: dict[int | str, int] = {10: 0x102}
UUID = bytes(range(16))
SIZE = 40 * MIB
# The formats of what md writes about itself; the one that mdadm chooses is always tried.
METADATA = [*(pytest.param(form, marks=pytest.mark.slow) for form in ("0.90", "1.0", "1.1")), "1.2"]


@dataclass(frozen=True)
class Array:
    """What all members say alike, unless a test has one of them say something else."""

    metadata: str = "1.2"
    level: int | str = 1
    devices: int = 2
    size: int = SIZE
    """Of the data area of a member, in bytes."""
    events: int = 17
    clean: bool = True
    state: str = ""
    """One letter a device as mdadm shows it; all are active when it is empty."""
    features: int = 0
    spare: bool = False
    bad_blocks: bool = False
    uuid: bytes = UUID

    @property
    def offset(self) -> int:
        """Where the data area begins in a member."""
        return MIB if self.metadata in ("1.1", "1.2") else 0

    @property
    def roles(self) -> str:
        return self.state or "A" * self.devices


def member(path: Path, array: Array, role: int, data: Path | None = None, **other: object) -> Path:
    """Make a member of 1 MiB more than its data on each side; `other`: what it alone says."""
    with path.open("wb") as file:
        file.truncate(array.size + 2 * MIB)
    if data is not None:
        sh(
            "dd",
            f"if={data}",
            f"of={path}",
            "bs=1M",
            f"seek={array.offset // MIB}",
            "conv=notrunc,sparse",
            "status=none",
        )
    mark(path, replace(array, **other), role)  # type: ignore[arg-type]
    assert "- correct" in examined(path)
    return path


def examined(path: Path) -> str:
    """What mdadm makes of a member. It reads devices past the cache, which not all files can."""
    with attached(path) as device:
        said = sh("mdadm", "--examine", device)
    return " ".join(word for word in said.split() if not word.startswith("/dev/loop"))


def mark(path: Path, array: Array, role: int, start: int = 0, size: int = 0) -> None:
    """Write the super block of a member, which is all of a file or a part of it."""
    size = size or path.stat().st_size
    if array.metadata == "0.90":
        place, block = size // 65536 * 65536 - 65536, _old(array, role)
    else:
        place = {"1.0": (size // 512 - 16) // 8 * 4096, "1.1": 0, "1.2": 4096}[array.metadata]
        block = _new(array, role, place, size)
    with path.open("r+b") as file:
        file.seek(start + place)
        file.write(block)
        if array.metadata != "0.90":
            file.seek(start + place + 512 * _bitmap_at(array))
            file.write(_bitmap(array))


def _bitmap_at(array: Array) -> int:
    """Sectors from the super block to the bitmap of what is being written."""
    return -16 if array.metadata == "1.0" else 8


def _bitmap(array: Array) -> bytes:
    """An internal bitmap in which nothing is marked."""
    head = struct.pack("<4sI16sQQ", b"bitm", 4, array.uuid, array.events, array.events)
    head += struct.pack("<QIIIIII", array.size // 512, 0, MIB, 5, 0, 8, 0)
    return head.ljust(4096, b"\0")


def _new(array: Array, role: int, place: int, size: int) -> bytes:
    block = bytearray(256 + 2 * _ROLES)
    level = _LEVELS.get(str(array.level), array.level)
    features = array.features | 1 | (8 if array.bad_blocks else 0)
    struct.pack_into("<III4x16s32s", block, 0, _MAGIC, 1, features, array.uuid, b"pc:data")
    sectors = array.size // 512
    shape = (level, _LAYOUTS.get(array.level, 0), sectors, 128, array.devices)
    struct.pack_into("<QIIQIIi", block, 64, 1_700_000_000, *shape, _bitmap_at(array))
    room = sectors if array.metadata == "1.0" else (size - array.offset) // 512
    struct.pack_into("<QQQQ", block, 128, array.offset // 512, room, place // 512, 0)
    struct.pack_into("<II", block, 160, role, 0)
    block[168:184] = bytes([role + 1]) * 16
    if array.bad_blocks:
        struct.pack_into("<BHi", block, 185, 0, 8, 16)
    resync = _DONE if array.clean else 4096
    struct.pack_into("<QQQ", block, 192, 1_700_000_100, array.events, resync)
    struct.pack_into("<I", block, 220, _ROLES)
    roles = [n if letter == "A" else 0xFFFE for n, letter in enumerate(array.roles)]
    roles += [0xFFFF] * (_ROLES - len(roles))
    if array.spare:
        roles[role] = 0xFFFF
    struct.pack_into(f"<{_ROLES}H", block, 256, *roles)
    struct.pack_into("<I", block, 216, _sum(block))
    return bytes(block)


def _old(array: Array, role: int) -> bytes:
    words = [0] * 1024
    ids = struct.unpack("<4I", array.uuid)
    level = _LEVELS.get(str(array.level), array.level)
    active = array.roles.count("A")
    shape = (int(level), array.size // 1024, active, array.devices)
    words[:16] = [_MAGIC, 0, 90, 0, 0, ids[0], 1_700_000_000, *shape, 0, 0, *ids[1:]]
    state = (int(array.clean), active, active, array.devices - active, 0, 0)
    words[32:41] = [1_700_000_100, *state, array.events, 0]
    for number, letter in enumerate(array.roles):
        place, member = 128 + 32 * number, 6 if letter == "A" else 8
        words[place : place + 5] = [number, 7, number, number, member]
    words[992:997] = [role, 7, role, role, 0 if array.spare else 6]
    words[64:66] = [_LAYOUTS.get(array.level, 0), 64 << 10]
    words[38] = _sum(struct.pack("<1024I", *words))
    return struct.pack("<1024I", *words)


def _sum(block: bytes | bytearray) -> int:
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF


def mark_firmware(
    path: Path,
    count: int,
    family: int = 0x1234ABCD,
    offset: int = 0,
    size: int = 0,
    sector: int = 512,
) -> None:
    """Write the block of Intel's firmware RAID (mdadm's super-intel.c), of `count` disks."""
    size = size or path.stat().st_size
    block = bytearray(512)
    length = 216 + 48 * count
    block[:30] = b"Intel Raid ISM Cfg Sig. 1.1.00"
    struct.pack_into("<IIIIIIB", block, 32, 0, length, family, 1, 4080, 0x80000000, count)
    struct.pack_into("<I", block, 64, family)
    for number in range(count):
        serial = f"SERIAL{number}".encode()
        struct.pack_into(
            "<16sIII", block, 216 + 48 * number, serial, size // 512, number << 16, 0x13A
        )
    total = sum(struct.unpack_from(f"<{length // 4}I", block))
    struct.pack_into("<I", block, 32, total & 0xFFFFFFFF)
    with path.open("r+b") as file:
        file.seek(offset + size - 2 * sector)
        file.write(block)


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def inside(room: Path, tree: Path, content: str = "ext4", size: int = SIZE) -> Path:
    """What an array shows, as a file."""
    path = blank(room / "inside", size)
    MAKERS[content](path, 512, tree)
    return path


def mirror(room: Path, data: Path, array: Array, **second: Any) -> list[Path]:
    """All members; `second`: what only the second one says."""
    members = []
    for role in range(array.devices):
        path = member(room / f"member{role}", array, role, data, **(second if role else {}))
        members.append(path)
    return members


def outside(path: Path, array: Array) -> list[tuple[int, int]]:
    return [(0, array.offset), (array.offset + array.size, path.stat().st_size)]


def previews(agent: Agent, *words: object) -> list[dict[str, str]]:
    return [each for disk in agent("probe", *words).ok()["disks"] for each in disk["partitions"]]


def placed(targets: list[Path]) -> list[str]:
    """Which is which: files have no serial number."""
    return [
        word
        for number, target in enumerate(targets)
        for word in ("--target", f"disk{number}={target}")
    ]


def restored(agent: Agent, room: Path, sources: list[Path]) -> list[Path]:
    targets = [filled(room / f"{each.name}.target", each.stat().st_size) for each in sources]
    words = ("pc", *placed(targets))
    agent("restore", *words).ok()
    assert agent("compare", *words).code == 0
    assert agent("restore", *words).ok()["changed"] is False
    for source, target in zip(sources, targets, strict=True):
        assert examined(target) == examined(source)
        answers = [sh("blkid", "-p", "-o", "udev", each) for each in (source, target)]
        assert answers[0] == answers[1]
    return targets
