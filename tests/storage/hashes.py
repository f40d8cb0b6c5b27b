# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a disk is as it was: a hash that passes over what the disks of tests are full of."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .disk_builder import FILL, MIB

_ZEROS, _FULL = bytes(MIB), bytes([FILL]) * MIB


def hash_of(path: Path) -> str:
    """Of each byte and its place. It equals no other program's: only two of these are compared."""
    found = hashlib.sha256()
    space = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        for start in _blocks(file.fileno()):
            file.seek(start)
            length = file.readinto(space)
            block = space if length == MIB else space[:length]
            if block != _ZEROS[:length]:
                found.update(start.to_bytes(8, "little"))
                found.update(b"full" if block == _FULL else block)
        found.update(file.seek(0, os.SEEK_END).to_bytes(8, "little"))
    return found.hexdigest()


def _blocks(handle: int) -> Iterator[int]:
    """Where blocks begin in which there may be something. Devices know of no holes."""
    size = os.lseek(handle, 0, os.SEEK_END)
    is_device, place = stat.S_ISBLK(os.fstat(handle).st_mode), 0
    while place < size:
        if not is_device:
            try:
                data = os.lseek(handle, place, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            place = max(data // MIB * MIB, place)
        yield place
        place += MIB
