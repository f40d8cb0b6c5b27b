# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives and sticks with discs of a set: found by what is on them, mounted to be read alone.

Only ISO 9660 is mounted anywhere, since that writes nothing, and FAT and exFAT on what can be
taken out, for discs that lie there as files.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.engine.errors import SlipwayError, ToolError
from slipway.engine.run import run
from slipway.engine.set_store import SET_FILE, read_set
from slipway.format import MediaSet

_COLUMNS = "PATH,TYPE,SIZE,RM,TRAN,PKNAME"
_AUTOCLOSE = Path("/proc/sys/dev/cdrom/autoclose")
# Linux, include/uapi/linux/cdrom.h.
_CDROMEJECT, _CDROM_MEDIA_CHANGED, _CDROM_DRIVE_STATUS, _CDROM_LOCKDOOR = (
    0x5309, 0x5325, 0x5326, 0x5329,
)  # fmt: skip
_NO_INFO, _NOT_READY, _DISC_OK = 0, 3, 4
_SLOT_CURRENT = 0x7FFFFFFF
_PVD, _BLOCK = 32768, 2048
_ISO_ID = b"\1CD001"
_REMOVABLE_BUSES = ("usb", "ieee1394")
_FILE_SYSTEMS = ("vfat", "exfat")
_MOST_FILES = 100


@dataclass(frozen=True)
class Medium:
    """A disc of a set that can be read now."""

    disk: Path
    """The whole device that it is in, which is no target."""
    folder: Path
    about: MediaSet
    optical: bool
    size: int
    """Bytes of the device or file."""
    stated: int
    """Bytes that its own tables say; above `size` it was cut short."""


@dataclass(frozen=True)
class _Device:
    path: Path
    kind: str
    disk: Path
    removable: bool


class Drives:
    """What was found so far, and where it is mounted."""

    def __init__(self, root: Path = Path("/run/slipway/media")) -> None:
        """Mount points are made below `root`."""
        self._root = root
        self._mounts: dict[Path, list[Path]] = {}
        self._count = 0
        self.media: dict[Path, list[Medium]] = {}
        """Media by device."""
        self.strange: dict[Path, str] = {}
        """What is in optical drives and is no disc of a set, for people."""

    def look(self) -> list[Medium]:
        """All media that are there now; what was taken out is let go."""
        # Else any look at an empty drive pulls its tray in again.
        with suppress(OSError):
            _AUTOCLOSE.write_text("0")
        devices = {each.path: each for each in _devices()}
        for path in [each for each in self._mounts if each not in devices or _gone(devices[each])]:
            self.release(path)
        self.strange = {path: why for path, why in self.strange.items() if path in devices}
        for path, device in devices.items():
            if path not in self._mounts:
                self._take(device)
        return [medium for those in self.media.values() for medium in those]

    def optical(self) -> list[Path]:
        """Drives with a tray or a slot."""
        return [each.path for each in _devices() if each.kind == "rom"]

    def release(self, path: Path) -> None:
        """Unmount what is on a device."""
        for folder in reversed(self._mounts.pop(path, [])):
            with suppress(SlipwayError):
                run(["umount", "--lazy", "--detach-loop", str(folder)])
        self.media.pop(path, None)
        self.strange.pop(path, None)

    def eject(self, path: Path) -> None:
        """Give a disc back."""
        self.release(path)
        with suppress(OSError), _Opened(path) as handle:
            fcntl.ioctl(handle, _CDROM_LOCKDOOR, 0)
            fcntl.ioctl(handle, _CDROMEJECT)

    def close(self) -> None:
        """Unmount everything."""
        for path in list(self._mounts):
            self.release(path)

    def _take(self, device: _Device) -> None:
        status = _status(device)
        if status not in (_DISC_OK, _NO_INFO):
            # A drive that is still closing is looked at again.
            self.strange.pop(device.path, None)
            return
        if device.path in self.strange and not _changed(device):
            return
        self.strange.pop(device.path, None)
        kind = _kind(device)
        if not kind:
            if device.kind == "rom":
                self.strange[device.path] = "it is blank, or it can't be read"
            return
        try:
            folder = self._mount(device.path, device.path, kind)
        except ToolError:
            if device.kind == "rom":
                self.strange[device.path] = "it can't be read"
            return
        found = list(self._media(device, device.path, folder))
        if not found and kind in _FILE_SYSTEMS:
            found = list(self._files(device, folder))
        if found:
            self.media[device.path] = found
            return
        self.release(device.path)
        if device.kind == "rom":
            self.strange[device.path] = "it is not one of Slipway's"

    def _mount(self, device: Path, source: Path, kind: str) -> Path:
        self._count += 1
        folder = self._root / str(self._count)
        folder.mkdir(parents=True)
        options = "ro,nosuid,nodev,noexec" + (",loop" if source.is_file() else "")
        run(["mount", "-t", kind, "-o", options, str(source), str(folder)])
        self._mounts.setdefault(device, []).append(folder)
        return folder

    def _media(self, device: _Device, source: Path, folder: Path) -> Iterator[Medium]:
        if (folder / SET_FILE).is_file():
            with suppress(SlipwayError, OSError):
                size, stated = sizes(source)
                about = read_set(folder)
                yield Medium(device.disk, folder, about, device.kind == "rom", size, stated)

    def _files(self, device: _Device, folder: Path) -> Iterator[Medium]:
        """Discs that lie on a stick as files."""
        for file in sorted(folder.glob("*.[iI][sS][oO]"))[:_MOST_FILES]:
            with suppress(SlipwayError):
                yield from self._media(device, file, self._mount(device.path, file, "iso9660"))


class _Opened:
    """A device opened without waiting for a disc in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return self._handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _devices() -> list[_Device]:
    listing = run(["lsblk", "--json", "--bytes", "--list", "--output", _COLUMNS]).stdout
    found: list[dict[str, Any]] = json.loads(listing)["blockdevices"]
    disks = {each["path"]: each for each in found}
    return [_device(each, disks) for each in found if each["type"] in ("rom", "disk", "part")]


def _device(facts: dict[str, Any], disks: dict[str, dict[str, Any]]) -> _Device:
    above = facts
    while above["type"] == "part" and (parent := disks.get(f"/dev/{above['pkname']}")):
        above = parent
    removable = bool(above["rm"]) or above["tran"] in _REMOVABLE_BUSES
    return _Device(Path(facts["path"]), facts["type"], Path(above["path"]), removable)


def _gone(device: _Device) -> bool:
    return device.kind == "rom" and _status(device) not in (_DISC_OK, _NO_INFO, _NOT_READY)


def _status(device: _Device) -> int:
    if device.kind != "rom":
        return _DISC_OK
    try:
        with _Opened(device.path) as handle:
            return fcntl.ioctl(handle, _CDROM_DRIVE_STATUS, _SLOT_CURRENT)
    except OSError:
        return _NOT_READY


def _changed(device: _Device) -> bool:
    """Whether another disc was put in since this was asked last."""
    try:
        with _Opened(device.path) as handle:
            return fcntl.ioctl(handle, _CDROM_MEDIA_CHANGED, _SLOT_CURRENT) != 0
    except OSError:
        return True


def _kind(device: _Device) -> str:
    """The file system, if it is one that is mounted here."""
    try:
        with _Opened(device.path) as handle:
            if os.pread(handle, len(_ISO_ID), _PVD) == _ISO_ID:
                return "iso9660" if device.kind != "part" else ""
    except OSError:
        return ""
    if device.kind == "rom" or not device.removable:
        return ""
    known = run(["blkid", "-p", "-o", "value", "-s", "TYPE", str(device.path)], ok=None)
    kind = known.stdout.strip()
    return kind if kind in _FILE_SYSTEMS else ""


def sizes(source: Path) -> tuple[int, int]:
    """Bytes of a disc, and how many it says that it has: with fewer it was cut short."""
    with _Opened(source) as handle:
        size = os.lseek(handle, 0, os.SEEK_END)
        volume = os.pread(handle, _BLOCK, _PVD)
        header = os.pread(handle, 512, 512)
    stated = int.from_bytes(volume[80:84], "little") * _BLOCK
    if header[:8] == b"EFI PART":
        # The second table is the last sector.
        stated = max(stated, (int.from_bytes(header[32:40], "little") + 1) * 512)
    return size, stated
