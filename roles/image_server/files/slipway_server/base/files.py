# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing files so that a crash leaves the old state or the new one, never a mixture."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from .errors import ServiceError

_libc = ctypes.CDLL(None, use_errno=True)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``, however few the kernel takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_new(folder: Path, data: bytes | Iterable[bytes], *, sync: bool) -> Path:
    """Write ``data`` to a new file with a random name in ``folder``; leave none on failure."""
    path = folder / secrets.token_hex(16)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                write_all(handle, piece)
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def replace(temporary: Path, final: Path) -> None:
    """Give a temporary file its name, making the name's folder if need be."""
    try:
        try:
            temporary.rename(final)
        except FileNotFoundError:
            final.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            temporary.rename(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(handle: int) -> None:
    """syncfs(2): everything written so far to the file system that ``handle`` lies on."""
    if _libc.syncfs(handle) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_durably(folder: Path, data: bytes, final: Path) -> None:
    """Write through ``folder`` (same file system), fsync, rename, fsync the final folder."""
    replace(write_new(folder, data, sync=True), final)
    sync_folder(final.parent)


def create_durably(folder: Path, data: bytes | Iterable[bytes], final: Path) -> None:
    """As write_durably, but FileExistsError if the name is taken."""
    temporary = write_new(folder, data, sync=True)
    try:
        if not final.parent.exists():
            final.parent.mkdir(mode=0o750)
            sync_folder(final.parent.parent)
        final.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(final.parent)


def as_service_error(error: OSError, what: str) -> ServiceError:
    """A full disk is 507, every other failure of the disk 500."""
    if error.errno in _NO_SPACE:
        return ServiceError("store_full", f"The image store is full: {what} was not kept.")
    return ServiceError("store_failed", f"{what} could not be kept: {error.strerror}.")
