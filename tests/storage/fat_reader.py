# SPDX-License-Identifier: GPL-3.0-or-later
"""Used ranges of FAT12, FAT16 and FAT32, found without the agent's code."""

import struct
from array import array
from pathlib import Path

Ranges = list[tuple[int, int]]


def fat(path: Path) -> Ranges:
    """All but the clusters that every table calls free or bad."""
    with path.open("rb") as file:
        head = file.read(64)
        sector, per_cluster, reserved, count, roots, total, _, short = struct.unpack_from(
            "<HBHBHHBH", head, 11
        )
        total = total or struct.unpack_from("<I", head, 32)[0]
        length = short or struct.unpack_from("<I", head, 36)[0]
        file.seek(reserved * sector)
        texts = [file.read(length * sector) for _ in range(count)]
    data = reserved + count * length + -(-roots * 32 // sector)
    clusters = (total - data) // per_cluster
    bits = 32 if not short else 12 if clusters < 4085 else 16
    tables = [_entries(text, bits) for text in texts]
    free = {0, {12: 0xFF7, 16: 0xFFF7, 32: 0xFFFFFF7}[bits]}
    used = [(0, data * sector)]
    for number in range(clusters):
        start = (data + number * per_cluster) * sector
        if any(table[number + 2] not in free for table in tables):
            used.append((start, start + per_cluster * sector))
    return [*used, ((data + clusters * per_cluster) * sector, path.stat().st_size)]


def _entries(table: bytes, bits: int) -> list[int]:
    if bits == 12:
        # As hexadecimal digits: in three bytes AB CD EF lie the entries DAB and EFC.
        digits = table.hex()
        triples = [digits[at : at + 6] for at in range(0, len(digits) - 5, 6)]
        return [int(each, 16) for d in triples for each in (d[3] + d[0:2], d[4:6] + d[2])]
    return [value & 0xFFFFFFF for value in array("H" if bits == 16 else "I", table)]
