# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the handler for a volume. What no handler knows is saved whole."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from slipway.engine.content.base import Decision, Handler, Inner, Unclean, Volume
from slipway.engine.content.btrfs import Btrfs
from slipway.engine.content.exfat import ExFat
from slipway.engine.content.ext import Ext
from slipway.engine.content.f2fs import F2fs
from slipway.engine.content.fat import Fat
from slipway.engine.content.fixed import Unmapped, VerityHashes
from slipway.engine.content.hfsplus import HfsPlus
from slipway.engine.content.luks import Luks
from slipway.engine.content.lvm import Lvm
from slipway.engine.content.ntfs import Ntfs
from slipway.engine.content.raid import RaidMember
from slipway.engine.content.reiserfs import Reiserfs
from slipway.engine.content.swap import Swap
from slipway.engine.content.xfs import Xfs
from slipway.engine.devices import clean
from slipway.engine.loop import read_only_loop
from slipway.engine.run import run
from slipway.format import Extents


def _look(volume: Volume, mapped: bool) -> Inner:
    """Look into a container's volume, whose type is not known yet."""
    fields = identify(volume.device)
    kind = clean(fields.get("ID_FS_TYPE", UNKNOWN))
    found = replace(volume, type=kind, fields=fields)
    decision = decide(found)
    if kind == UNKNOWN and "ID_PART_TABLE_TYPE" in fields:
        decision = replace(decision, reason="it has a partition table")
    used = used_map(found, decision) if mapped else Extents.of(())
    return Inner(kind, decision, used)


HANDLERS: tuple[Handler, ...] = (
    Btrfs(),
    ExFat(),
    Ext(),
    F2fs(),
    Fat(),
    HfsPlus(),
    Luks(_look),
    Lvm(_look),
    Ntfs(),
    RaidMember(_look),
    Reiserfs(),
    Swap(),
    Unmapped(),
    VerityHashes(),
    Xfs(),
)
UNKNOWN = "unknown"
HIBERNATED = ("swap", "swsuspend")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
# blkid's exit code when it finds nothing, and when it finds several things.
_NOTHING, _AMBIVALENT = 2, 8
_SEVERAL = "ID_FS_AMBIVALENT"


@contextmanager
def open_volume(
    id: str, path: Path, offset: int, size: int, sector: int
) -> Generator[Volume, None, None]:
    """Show a stretch of a disk as a volume of its own, with what blkid says about it."""
    with read_only_loop(path, offset, size, sector) as device:
        fields = identify(device)
        kind = fields.get("ID_FS_TYPE", UNKNOWN)
        yield Volume(id, device, size, sector, clean(kind), fields)


def identify(device: Path, offset: int = 0, size: int = 0) -> dict[str, str]:
    """What blkid finds by probing a device, or `size` bytes of it, and never from its cache."""
    span = ["--offset", str(offset), "--size", str(size)] if size else []
    argv = ["blkid", "-p", "-o", "udev", *span, str(device)]
    answer = run(argv, ok=(0, _NOTHING, _AMBIVALENT))
    if answer.code == _AMBIVALENT:
        return {_SEVERAL: "1"}
    pairs = (line.partition("=") for line in answer.stdout.splitlines())
    return {key: value for key, separator, value in pairs if separator}


def kind_of(fields: dict[str, str]) -> str:
    """Its name for what it found; empty for nothing, `ambivalent` for several things."""
    return "ambivalent" if _SEVERAL in fields else clean(fields.get("ID_FS_TYPE", ""))


def label_of(fields: dict[str, str]) -> tuple[str, str]:
    """UUID and label as printable text."""
    return _plain(fields, "ID_FS_UUID_ENC"), _plain(fields, "ID_FS_LABEL_ENC")


def _plain(fields: dict[str, str], key: str) -> str:
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), fields.get(key, ""))
    return clean(text.encode("latin-1", "replace").decode("utf-8", "replace"))


def handler_for(volume: Volume) -> Handler | None:
    """The handler that knows the volume's type."""
    return next((each for each in HANDLERS if volume.type in each.types), None)


def decide(volume: Volume) -> Decision:
    """How the volume will be saved."""
    handler = handler_for(volume)
    if handler is None:
        return Decision("whole")
    try:
        return handler.decide(volume)
    except Unclean as error:
        if volume.unclean == "refuse":
            raise
        return Decision("whole", f"it {error.why}", asleep=volume.type in HIBERNATED)


def used_map(volume: Volume, decision: Decision) -> Extents:
    """The used map in whole sectors."""
    handler = handler_for(volume)
    if decision.method == "whole" or handler is None:
        return Extents.whole(volume.size)
    return handler.used(volume).aligned(volume.sector).clip(0, volume.size)
