# SPDX-License-Identifier: GPL-3.0-or-later
"""Used ranges of file systems, found without the agent's code."""

import struct
from collections.abc import Callable
from pathlib import Path

from .btrfs_reader import btrfs
from .disk_builder import used_ranges
from .fat_reader import fat

__all__ = ["Ranges", "btrfs", "ext", "fat", "first_page", "partclone", "reiserfs", "whole"]

Ranges = list[tuple[int, int]]


def whole(path: Path) -> Ranges:
    return [(0, path.stat().st_size)]


def ext(path: Path) -> Ranges:
    return used_ranges(path, "bigalloc")


def first_page(size: int) -> Callable[[Path], Ranges]:
    return lambda path: [(0, size)]


def partclone(program: str) -> Callable[[Path], Ranges]:
    return lambda path: used_ranges(path, program)


def reiserfs(path: Path) -> Ranges:
    """The bitmaps lie behind the super block, then in the first block of all that one covers."""
    with path.open("rb") as file:
        file.seek(65536)
        head = file.read(64)
        blocks, size = struct.unpack_from("<I", head)[0], struct.unpack_from("<H", head, 44)[0]
        used = []
        for number in range(-(-blocks // (size * 8))):
            at = number * size * 8 if number else 65536 // size + 1
            file.seek(at * size)
            bits = file.read(size)
            for bit in range(min(size * 8, blocks - number * size * 8)):
                if bits[bit // 8] >> bit % 8 & 1:
                    start = (number * size * 8 + bit) * size
                    used.append((start, start + size))
    return [*used, (blocks * size, path.stat().st_size)]
