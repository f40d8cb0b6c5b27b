# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks by which systems know what a volume is, crafted as small as blkid takes them.

They stand where an image may keep nothing: deep in the head of a volume, or at its end. Layouts
are those that util-linux' libblkid reads.
"""

import struct
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

from .disk_builder import attached, sh
from .raid import Array, mark, mark_firmware

Places = list[tuple[int, bytes]]
"""Where in a volume, and the bytes there."""
# Those that the specification of LUKS2 has for the second header.
LUKS_PLACES = (0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000)
# What firmware leaves is looked for on whole disks alone, and where sectors have this size.
FIRMWARE = ("ddf", "isw", "lsi", "promise")


def _zfs(size: int, sector: int) -> Places:
    """The last label of a member: its array of uberblocks (128 KiB into 256 KiB)."""
    ring = b"".join(
        struct.pack("<QQQ", 0x00BAB10C, 5000, number).ljust(1024, b"\0") for number in range(16)
    )
    return [(size // (256 << 10) * (256 << 10) - (256 << 10) + (128 << 10), ring)]


def _luks(place: int) -> Callable[[int, int], Places]:
    """The second header of LUKS2."""
    header = bytearray(4096)
    header[:6] = b"SKUL\xba\xbe"
    struct.pack_into(">HQ", header, 6, 2, 16384)
    struct.pack_into(">Q", header, 256, place)
    return lambda size, sector: [(place, bytes(header))]


def _bcache(size: int, sector: int) -> Places:
    block = bytearray(4096)
    struct.pack_into("<QQQ", block, 0, 0, 8, 1)
    block[24:40] = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
    return [(4096, bytes(block))]


def _btrfs(size: int, sector: int) -> Places:
    block = bytearray(4096)
    struct.pack_into("<QQ", block, 48, 64 << 10, 0)
    block[64:72] = b"_BHRfS_M"
    return [(64 << 10, bytes(block))]


def _nilfs(size: int, sector: int) -> Places:
    """The second super block, 4 KiB before the end."""
    block = bytearray(1024)
    struct.pack_into("<IHHHHI", block, 0, 2, 0, 0x3434, 280, 0, 0)
    struct.pack_into("<Q", block, 32, size)
    (seed,) = struct.unpack_from("<I", block, 12)
    crc = zlib.crc32(block[:280], seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    struct.pack_into("<I", block, 16, crc)
    return [((size // 512 - 8) * 512, bytes(block))]


def _vmfs(size: int, sector: int) -> Places:
    return [(2 << 20, b"\x5e\xf1\xab\x2f".ljust(512, b"\0"))]


def _ddf(size: int, sector: int) -> Places:
    """The anchor in the last sector, and the header that it names, 16 MiB before."""
    primary = (size >> 9) - (16 << 11)
    block = bytearray(512)
    struct.pack_into(">I", block, 0, 0xDE11DE11)
    block[8:32] = b"slipway ddf test member ".ljust(24)
    block[32:40] = b"01.02.00"
    struct.pack_into(">QQ", block, 96, primary, 0)
    return [(size // 512 * 512 - 512, bytes(block)), (primary << 9, bytes(block))]


def _lsi(size: int, sector: int) -> Places:
    return [(size // 512 * 512 - 512, b"$XIDE$".ljust(512, b"\0"))]


def _promise(size: int, sector: int) -> Places:
    """The farthest of its places from a disk's end."""
    return [(size // 512 * 512 - 3087 * 512, b"Promise Technology, Inc.".ljust(512, b"\0"))]


def _gpt(size: int, sector: int) -> Places:
    """The backup of a GPT without partitions."""
    last = size // sector - 1
    entries = bytes(128 * 128)
    first = last - len(entries) // sector
    header = bytearray(sector)
    head = struct.pack("<8sIIII", b"EFI PART", 0x10000, 92, 0, 0)
    places = struct.pack("<QQQQ", last, 1, 34, first - 1)
    table = struct.pack("<QIII", first, 128, 128, zlib.crc32(entries))
    header[:92] = head + places + uuid.UUID(int=7).bytes_le + table
    struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
    return [(first * sector, entries), (last * sector, bytes(header))]


def iso() -> bytes:
    """The first descriptor of ISO 9660, which stands 32 KiB behind a disk's beginning."""
    return b"\x01CD001\x01".ljust(40, b"\0") + b"OLD STICK".ljust(2008, b"\0")


_PLACES: dict[str, Callable[[int, int], Places]] = {
    "zfs": _zfs,
    "bcache": _bcache,
    "btrfs": _btrfs,
    "nilfs2": _nilfs,
    "vmfs": _vmfs,
    "gpt": _gpt,
    "ddf": _ddf,
    "lsi": _lsi,
    "promise": _promise,
    **{f"luks2-{place >> 10}k": _luks(place) for place in LUKS_PLACES},
}
_ARRAYS = {f"md-{metadata}": Array(metadata) for metadata in ("0.90", "1.0", "1.1", "1.2")}
MARKS = (*_ARRAYS, *_PLACES, "isw")


def put(path: Path, offset: int, size: int, name: str, sector: int = 512) -> None:
    """Write a mark into a volume of a disk."""
    if name in _ARRAYS:
        array = Array(_ARRAYS[name].metadata, size=size - (4 << 20))
        mark(path, array, 0, offset, size)
        return
    if name == "isw":
        mark_firmware(path, 2, offset=offset, size=size, sector=sector)
        return
    with path.open("r+b") as file:
        for place, content in _PLACES[name](size, sector):
            file.seek(offset + place)
            file.write(content)


def seen(path: Path, offset: int, size: int, sector: int = 512) -> str:
    """What blkid and wipefs make of a stretch of a disk."""
    with attached(path, sector, offset, size) as device:
        probed = sh("blkid", "-p", "-o", "export", device, ok=(0, 2, 8)).splitlines()
        listed = sh("wipefs", "--parsable", device).splitlines()
    return "\n".join([line for line in probed if "DEVNAME" not in line] + listed)
