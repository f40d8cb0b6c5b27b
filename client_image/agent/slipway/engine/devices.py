"""Which disks there are, and what they say about themselves. Nothing here opens them to write."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.engine.errors import DeviceError, SlipwayError, SourceRefused, UsageError
from slipway.engine.run import run
from slipway.format import Identity

_COLUMNS = "NAME,PATH,TYPE,SIZE,LOG-SEC,PHY-SEC,SERIAL,WWN,MODEL,RM,RO,TRAN,MOUNTPOINTS,FSTYPE"
# Memory, loops, optical and floppy drives, flash without a controller, disks of a network or of
# another disk, memory sticks in a reader, and the hidden areas of eMMC.
_NEVER_FIXED = re.compile(
    r"(loop|ram|zram|sr|fd|nbd|rbd|drbd|zd|bcache|mtdblock|ubiblock|mspblk)\d+.*"
    r"|mmcblk\d+(boot|rpmb).*"
)
_REMOVABLE_BUSES = frozenset({"usb", "ieee1394"})
_MAX_TEXT = 128
SYS_BLOCK = Path("/sys/block")
# Soldered flash (eMMC) says MMC; a card in a reader, which has the same driver, says SD.
_CARD_TYPES = frozenset({"SD", "SDIO", "SDcombo"})


@dataclass(frozen=True)
class BlockDisk:
    """A disk as the kernel shows it, or a file that stands in for one."""

    path: Path
    size: int
    logical_sector: int
    physical_sector: int
    identity: Identity
    is_file: bool = False
    removable: bool = False
    read_only: bool = False
    transport: str = ""
    mounts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As messages list it."""
        return f"{self.path} ({self.identity}, {self.size} bytes)"

    @property
    def fixed(self) -> bool:
        """Whether it counts among a machine's own disks when none is named."""
        return (
            not self.is_file
            and not self.removable
            and not self.read_only
            and self.size > 0
            and self.transport not in _REMOVABLE_BUSES
            and _NEVER_FIXED.fullmatch(self.path.name) is None
        )


def list_disks() -> tuple[BlockDisk, ...]:
    """All disks that the kernel shows, by path."""
    return tuple(sorted(_lsblk([]), key=lambda disk: str(disk.path)))


def fixed_disks() -> tuple[BlockDisk, ...]:
    """The machine's own disks."""
    return tuple(disk for disk in list_disks() if disk.fixed)


def find_disk(name: str | Path) -> BlockDisk:
    """The disk at a path: a block device or a regular file."""
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(
            f"there is no disk {path}: {error.strerror}", "slipway probe lists the disks"
        ) from error
    if stat.S_ISBLK(mode):
        found = _lsblk([str(path)])
        if len(found) != 1:
            raise UsageError(
                f"{path} is not a whole disk", "name the disk, not one of its partitions"
            )
        return found[0]
    if stat.S_ISREG(mode):
        return _file_disk(path)
    raise UsageError(f"{path} is neither a block device nor a file", "slipway probe lists disks")


def _file_disk(path: Path) -> BlockDisk:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8192)
    # A file has no sector size of its own; only a GPT tells which one it was made with.
    sector = 4096 if head[4096:4104] == b"EFI PART" and head[512:520] != b"EFI PART" else 512
    if size < sector or size % sector:
        raise UsageError(f"{path} has {size} bytes, which is no whole number of sectors")
    return BlockDisk(path, size, sector, sector, Identity(), is_file=True)


def _lsblk(arguments: list[str]) -> list[BlockDisk]:
    listing = run(["lsblk", "--json", "--bytes", "--output", _COLUMNS, *arguments]).stdout
    try:
        devices = json.loads(listing)["blockdevices"]
    except (ValueError, KeyError) as error:
        raise DeviceError(f"lsblk's answer can't be read: {error}") from error
    return [_disk(device) for device in devices if device["type"] in ("disk", "loop")]


def _disk(device: dict[str, Any]) -> BlockDisk:
    return BlockDisk(
        path=Path(device["path"]),
        size=int(device["size"] or 0),
        logical_sector=int(device["log-sec"]),
        physical_sector=max(int(device["phy-sec"]), int(device["log-sec"])),
        identity=Identity(*(clean(device[key]) for key in ("serial", "wwn", "model"))),
        removable=bool(device["rm"]) or _is_card(Path(device["path"]).name),
        read_only=bool(device["ro"]),
        transport=device["tran"] or "",
        mounts=tuple(_mounts(device)),
    )


def _is_card(name: str) -> bool:
    """Whether it is a card in a reader; the kernel does not call those removable.

    Values of `type`: Linux, drivers/mmc/core/bus.c.
    """
    try:
        return (SYS_BLOCK / name / "device/type").read_text().strip() in _CARD_TYPES
    except OSError:
        return False


def _mounts(device: dict[str, Any]) -> Generator[str, None, None]:
    for mount in device.get("mountpoints") or []:
        if mount:
            yield clean(mount)
    for child in device.get("children") or []:
        yield from _mounts(child)


def clean(text: str | None) -> str:
    """What hardware or a file system says, as printable text of a sane length."""
    words = " ".join((text or "").split())
    return "".join(char if char.isprintable() else "?" for char in words)[:_MAX_TEXT]


@contextmanager
def open_read_only(
    disk: BlockDisk, refusal: type[SlipwayError] = SourceRefused
) -> Generator[int, None, None]:
    """The disk opened to read, and claimed: nobody may mount any part of it meanwhile."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if disk.is_file else os.O_EXCL)
    if disk.is_file:
        _refuse_busy_file(disk.path, refusal)
    try:
        handle = os.open(disk.path, flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            where = f" at {', '.join(disk.mounts)}" if disk.mounts else ""
            raise refusal(
                f"{disk.path} is in use: it, one of its partitions or a volume on it is "
                f"mounted or active{where}",
                "unmount it, turn its swap off, or stop the RAID or LVM on it",
            ) from error
        raise DeviceError(f"{disk.path} can't be opened: {error.strerror}") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _refuse_busy_file(path: Path, refusal: type[SlipwayError]) -> None:
    """A file can be mounted through a loop device, which O_EXCL on the file would not show."""
    resolved = str(path.resolve())
    for backing in SYS_BLOCK.glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().rstrip("\n") != resolved:
                continue
            device = Path("/dev") / backing.parts[3]
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise refusal(
                    f"{path} is in use through {device}", f"unmount {device} and its partitions"
                ) from error
