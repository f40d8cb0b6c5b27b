# SPDX-License-Identifier: GPL-3.0-or-later
"""States of NTFS that its own system leaves behind, made by changing bytes."""

import re
import struct
from pathlib import Path

from .disk_builder import sh

_PAGE, _SECTOR, _RECORD = 4096, 512, 1024
_AREA = 48


def cluster_size(path: Path) -> int:
    """Bytes; by the boot sector, for clusters up to 64 KiB."""
    sector, per_cluster = struct.unpack_from("<HB", path.read_bytes()[:512], 11)
    return int(sector * per_cluster)


def open_log(path: Path) -> None:
    """What Windows leaves in $LogFile when the power goes: both restart pages have a client."""
    [start] = re.findall(r"^ +0 +(\d+) +\d+$", sh("ntfscluster", "-f", "-I", 2, path), re.MULTILINE)
    area = struct.pack(
        "<QHHHHIHHQIHHII", 0x1000, 1, 0xFFFF, 0, 0, 0x2D, 0xE0, 0x40, 0x200000, 0, 0x30, 0x40, 1, 0
    )
    client = struct.pack("<QQHHH6xI", 0x1000, 0x1000, 0xFFFF, 0xFFFF, 0, 8) + "NTFS".encode(
        "utf-16-le"
    )
    page = bytearray(_PAGE)
    page[: _AREA - 18] = struct.pack("<4sHHQIIHhh", b"RSTR", 30, 9, 0, _PAGE, _PAGE, _AREA, 1, 1)
    page[_AREA : _AREA + len(area)] = area
    page[_AREA + 0x40 : _AREA + 0x40 + len(client)] = client
    with path.open("r+b") as file:
        file.seek(int(start) * cluster_size(path))
        file.write(_protected(page) * 2)


def _protected(page: bytearray) -> bytes:
    """With an update sequence: each sector's last two bytes stand in the head."""
    struct.pack_into("<H", page, 30, 1)
    for number in range(_PAGE // _SECTOR):
        end = (number + 1) * _SECTOR - 2
        page[32 + 2 * number : 34 + 2 * number] = page[end : end + 2]
        struct.pack_into("<H", page, end, 1)
    return bytes(page)


def mark_bad(path: Path, count: int) -> tuple[int, int]:
    """Put free clusters into $BadClus and mark them in $Bitmap; where they lie, in bytes."""
    unit, text = cluster_size(path), bytearray(path.read_bytes())
    (total,) = struct.unpack_from("<Q", text, 40)
    last = total * _SECTOR // unit
    [bitmap] = re.findall(
        r"^ +0 +(\d+) +\d+$", sh("ntfscluster", "-f", "-I", 6, path), re.MULTILINE
    )
    first = last * 3 // 4 // 8 * 8
    at = int(bitmap) * unit + first // 8
    assert count % 8 == 0
    assert not any(text[at : at + count // 8]), "these clusters are in use"
    text[at : at + count // 8] = b"\xff" * (count // 8)
    record = struct.unpack_from("<Q", text, 48)[0] * unit + 8 * _RECORD
    # The one attribute with the name $Bad is the record's last, with a hole for its only run. It
    # becomes eight bytes longer: a hole, the clusters, a hole.
    attribute = text.index("$Bad".encode("utf-16-le"), record + 0x118) - 0x40
    for place in (record + 0x18, attribute + 4):
        (length,) = struct.unpack_from("<I", text, place)
        struct.pack_into("<I", text, place, length + 8)
    pairs = (
        struct.pack("<BH", 0x02, first)
        + struct.pack("<BBH", 0x21, count, first)
        + struct.pack("<BH", 0x02, last - first - count)
    )
    text[attribute + 0x48 : attribute + 0x60] = pairs.ljust(16, b"\0") + b"\xff" * 4 + bytes(4)
    path.write_bytes(text)
    return first * unit, (first + count) * unit
