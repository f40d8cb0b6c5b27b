# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python3 -m slipway_media.writing --file pc12.iso --stick /dev/disk/by-id/usb-...`.

Writes a finished file to a stick, or burns it, and reads back what is there.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from pathlib import Path

from slipway_media import tools
from slipway_media.errors import MediaError

_STEP = 4 << 20
_BLKFLSBUF = 0x1261
_REMOVABLE_BUS = "usb"


def main(argv: list[str] | None = None) -> int:
    """Write unless it is there already; print JSON, or one message and exit code 1."""
    parser = argparse.ArgumentParser(prog="slipway_media.writing", description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--stick", type=Path, metavar="DEVICE")
    place.add_argument("--burn", type=Path, metavar="DRIVE")
    args = parser.parse_args(argv)
    try:
        write = _write_stick if args.stick else _burn
        print(json.dumps({"changed": write(args.file, args.stick or args.burn)}))
    except MediaError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{error}; the medium may hold a part of the file. "
            "Remedy: see whether it is plugged in and sound, and write it again.",
            file=sys.stderr,
        )
        return 1
    return 0


def check_stick(file: Path, device: Path) -> None:
    """Refuse all that is no stick with room for the file and without a user."""
    if not device.is_block_device():
        raise MediaError(f"There is no {device}.", "ls -l /dev/disk/by-id/usb-* shows the sticks.")
    asked = ("lsblk", "--json", "--bytes", "--output", "TYPE,SIZE,TRAN,RM,MOUNTPOINTS")
    [facts] = json.loads(tools.run(*asked, str(device)))["blockdevices"]
    if facts["tran"] != _REMOVABLE_BUS and facts["type"] != "part":
        raise MediaError(f"{device} is no USB stick; nothing was written.", "Name a USB stick.")
    if facts["type"] != "disk":
        raise MediaError(f"{device} is a part of a stick.", "Name the stick itself.")
    users = [facts, *facts.get("children", [])]
    if any(point for each in users for point in each["mountpoints"]):
        raise MediaError(f"{device} is mounted; nothing was written.", "Unmount it.")
    size = file.stat().st_size
    if facts["size"] < size:
        raise MediaError(
            f"{device} has {facts['size']} bytes, {file.name} has {size}; nothing was written.",
            "Use a larger stick.",
        )


def _write_stick(file: Path, device: Path) -> bool:
    check_stick(file, device)
    return put(file, device)


def put(file: Path, device: Path) -> bool:
    """Make the device begin with the file, and read it back; return whether it did not yet."""
    if differs_at(file, device) is None:
        return False
    with file.open("rb") as source, device.open("r+b", buffering=0) as target:
        while step := source.read(_STEP):
            view = memoryview(step)
            while view:
                view = view[target.write(view) or 0 :]
        os.fsync(target.fileno())
    _read_back(file, device)
    return True


def _burn(file: Path, drive: Path) -> bool:
    if not drive.is_block_device():
        raise MediaError(f"There is no {drive}.", "A drive that burns is /dev/sr0, as a rule.")
    if differs_at(file, drive) is None:
        return False
    tools.run("xorriso", "-as", "cdrecord", "-v", f"dev={drive}", "blank=as_needed", str(file))
    _read_back(file, drive)
    return True


def _read_back(file: Path, device: Path) -> None:
    at = differs_at(file, device)
    if at is not None:
        raise MediaError(
            f"{device} does not hold what was written to it: other bytes came back at byte {at}, "
            "or none.",
            "Use another medium.",
        )


def differs_at(file: Path, device: Path) -> int | None:
    """Where the device begins to differ from the file; None where it holds all of it."""
    at = 0
    try:
        with file.open("rb") as wanted, device.open("rb", buffering=0) as found:
            try:
                fcntl.ioctl(found.fileno(), _BLKFLSBUF)
            except OSError:
                os.posix_fadvise(found.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while step := wanted.read(_STEP):
                there = b""
                while len(there) < len(step) and (more := found.read(len(step) - len(there))):
                    there += more
                if there != step:
                    pairs = enumerate(zip(step, there, strict=False))
                    return at + next((i for i, (a, b) in pairs if a != b), len(there))
                at += len(step)
    except OSError:
        # An empty or unreadable disc holds nothing of the file.
        return at
    return None


if __name__ == "__main__":
    sys.exit(main())
