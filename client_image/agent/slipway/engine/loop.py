# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices over a part of a disk or of a file.

File system tools want a device that begins where the file system begins. A loop device gives
them one whether or not the kernel knows the partition table. Through a read-only one, the rule,
nothing can be written; only a file system that grows after a restore gets another kind. The
device is marked to clear itself when it is closed, so that not even a killed agent leaves one
behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway.engine.errors import DeviceError

_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4
_LOOP_MAJOR = 7
_TRIES = 50
# struct loop_config: fd, block size, struct loop_info64, eight reserved words
_CONFIG = struct.Struct("=II QQQQQ IIII 64s 64s 32s QQ 64x")


@contextmanager
def read_only_loop(path: Path, offset: int, size: int, sector: int) -> Generator[Path, None, None]:
    """A loop device that shows `size` bytes of `path` from `offset` on."""
    with _loop(path, (offset, size), sector, writable=False) as device:
        yield device


@contextmanager
def writable_loop(path: Path, offset: int, size: int, sector: int) -> Generator[Path, None, None]:
    """The same, open to writing; what was written is on the disk at the end."""
    with _loop(path, (offset, size), sector, writable=True) as device:
        yield device


@contextmanager
def _loop(
    path: Path, span: tuple[int, int], sector: int, writable: bool
) -> Generator[Path, None, None]:
    backing = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        device, handle = _attach(backing, path, span, sector, writable)
    finally:
        os.close(backing)
    try:
        yield device
        if writable:
            os.fsync(handle)
    finally:
        os.close(handle)


def _attach(
    backing: int, path: Path, span: tuple[int, int], sector: int, writable: bool
) -> tuple[Path, int]:
    flags = _AUTOCLEAR | (0 if writable else _READ_ONLY)
    config = _CONFIG.pack(
        backing, sector, 0, 0, 0, *span, 0, 0, 0, flags,
        os.fsencode(path)[:63], b"", b"", 0, 0,
    )  # fmt: skip
    try:
        for _ in range(_TRIES):
            device = _free_device()
            handle = os.open(device, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
            try:
                fcntl.ioctl(handle, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(handle)
                # Somebody else took the same free device.
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device, handle
    except OSError as error:
        raise DeviceError(
            f"no loop device could be made for {path}: {error.strerror}",
            "load the kernel module loop",
        ) from error
    raise DeviceError(f"no loop device could be made for {path}: all are taken")


def _free_device() -> Path:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    device = Path(f"/dev/loop{number}")
    # Without udev nobody makes the node.
    with suppress(FileExistsError):
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return device
