# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the partitions of a disk lie, and what is in them: read without the agent's code."""

import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from .conftest import Outcome
from .disk_builder import (
    FILL,
    MAKERS,
    MIB,
    Disk,
    Part,
    attached,
    blocks_of,
    check,
    contents,
    device_link,
    make_ext,
    mounted,
    sh,
)

Maker = Callable[[Path, int, Path], None]
MOUNT = {"ntfs": ("-t", "ntfs-3g")}

# What file systems need at least: the kernel makes no btrfs smaller than 256 MiB.
ROOM = {"btrfs": 340 * MIB}


def ntfs_fillers(path: Path, size: int) -> list[str]:
    """Fill an NTFS without a mount, which takes ten times as long; in one piece it has no room."""
    fillers = [f"filler{number}" for number in range(6)]
    zeros = path.with_name("zeros")
    zeros.touch()
    os.truncate(zeros, size // len(fillers))
    for name in fillers:
        sh("ntfscp", "-f", path, zeros, name)
    zeros.unlink()
    return fillers


def spread(kind: str) -> Maker:
    """Its files lie at both ends of the partition, so that some have to move."""

    def make(path: Path, sector: int, tree: Path) -> None:
        # The kernel mounts no block that is smaller than a sector.
        maker = make_ext(kind, "-b", "4096") if kind.startswith("ext") else MAKERS[kind]
        maker(path, sector, tree)
        size = path.stat().st_size * 6 // 10
        fillers = ntfs_fillers(path, size) if kind == "ntfs" else ["filler"]
        with attached(path, sector) as device:
            link = path if kind == "ntfs" else device_link(device, path)
            with mounted(link, *MOUNT.get(kind, ())) as point:
                if kind != "ntfs":
                    sh("fallocate", "-l", size, point / fillers[0])
                shutil.copytree(tree, point / "far")
                os.sync()
                for name in fillers:
                    (point / name).unlink()

    return make


def set_place(source: Disk, number: int) -> None:
    with source.path.open("r+b") as file:
        file.seek(source.part(number).offset + 28)
        file.write(struct.pack("<I", source.part(number).offset // source.sector))


def place_in_boot_sector(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset + 28)
        return int(struct.unpack("<I", file.read(4))[0])


def lines(path: Path, sector: int = 512) -> list[dict[str, str]]:
    """The lines of the table, bytes for places."""
    found = []
    with attached(path, sector) as device:
        rows = [row for row in sh("sfdisk", "--dump", device).splitlines() if "start=" in row]
    for row in rows:
        fields = dict(re.findall(r"(\w+)= *([^, ]+)", row))
        fields["start"] = str(int(fields["start"]) * sector)
        fields["size"] = str(int(fields["size"]) * sector)
        found.append(fields)
    return found


def piece(path: Path, line: dict[str, str], to: Path) -> Path:
    return Disk(path, 512).extract(Part(0, int(line["start"]), int(line["size"]), ""), to)


def files(
    path: Path, line: dict[str, str], room: Path, kind: str, sector: int, tree: Path
) -> dict[str, str]:
    """The hash of each file of a partition, once its own checker is content."""
    image = piece(path, line, room / "piece")
    check(image, kind, sector, tree)
    with attached(image, sector) as device:
        link = image if kind == "ntfs" else device_link(device, image)
        with mounted(link, *MOUNT.get(kind, ()), "-o", "ro") as point:
            found = contents(point)
    image.unlink()
    return found


def same_files(
    a: Path, b: Path, number: int, kind: str, room: Path, tree: Path, sector: int = 512
) -> None:
    """A partition has the same files on both disks."""
    first = files(a, lines(a, sector)[number - 1], room, kind, sector, tree)
    assert first == files(b, lines(b, sector)[number - 1], room, kind, sector, tree)
    assert first


def untouched(path: Path) -> bool:
    full = bytes([FILL]) * MIB
    with path.open("rb", buffering=0) as file:
        return all(block == full[: len(block)] for block in blocks_of(file))


def warnings(outcome: Outcome) -> list[str]:
    return [each["message"] for each in outcome.records if each["type"] == "warning"]
