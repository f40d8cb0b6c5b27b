# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a store in a folder: written for good, named once, and what goes wrong in words."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from slipway.engine.errors import SlipwayError, StoreFull, StoreRefused, StoreUnreachable

_libc = ctypes.CDLL(None, use_errno=True)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_AT_CWD, _NO_REPLACE = -100, 1
_FULL = (errno.ENOSPC, errno.EDQUOT)


def open_regular(path: Path) -> io.FileIO:
    """A file to read. OSError for a pipe, a device or a folder, which could hold us up for ever."""
    file = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that is on its disk when this returns."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def name_once(draft: Path, final: Path) -> None:
    """Give a file its name for good. FileExistsError: it is taken."""
    try:
        os.link(draft, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Sticks with FAT or exFAT: there it is moved, unless the name is taken.
        names = os.fsencode(draft), os.fsencode(final)
        if _libc.renameat2(_AT_CWD, names[0], _AT_CWD, names[1], _NO_REPLACE) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(final)) from error


def sync_all(path: Path) -> None:
    """Have all that was written to the file system of a folder on its disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def sync_path(path: Path) -> None:
    """Have a file, or the names of a folder, on its disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def reading_errors(root: Path) -> Generator[None, None, None]:
    """A store whose disk is gone or fails, or that is not ours to read."""
    try:
        yield
    except OSError as error:
        raise StoreUnreachable(
            f"the store {root} can't be read: {error.strerror}", "check its rights and its disk"
        ) from error


@contextmanager
def storage_errors(root: Path) -> Generator[None, None, None]:
    """What the store's disk says no to, as what it means."""
    try:
        yield
    except SlipwayError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(
                f"the store {root} is full",
                "make room, then run it again: what was kept so far is not sent twice",
            ) from error
        raise StoreRefused(
            f"the store {root} can't be written: {error.strerror}", "check its rights and its disk"
        ) from error
