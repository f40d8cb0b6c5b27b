# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a disk is as it was: a hash that passes over what the disks of tests are full of."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .disk_builder import FILL, MIB, data_of

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
    size, place = os.lseek(handle, 0, os.SEEK_END), 0
    is_device = stat.S_ISBLK(os.fstat(handle).st_mode)
    for start, end in [(0, size)] if is_device else data_of(handle, 0, size):
        for block in range(max(start // MIB * MIB, place), end, MIB):
            yield block
            place = block + MIB
