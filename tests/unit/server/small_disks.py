# SPDX-License-Identifier: GPL-3.0-or-later
"""A small disk with a FAT file system, saved as a version without an agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.frames import digest_of
from slipway.format.manifest import Disk, Identity, Manifest, Segment, Table, TablePartition

from .conftest import CELL, Service
from .test_begun import until
from .test_who_may import as_user

_SECTOR = 512
_PARTITION = 8 * CELL


def fat(folder: Path, files: Mapping[str, bytes]) -> bytes:
    """A file system with these files; a name with a slash lies in a folder."""
    image = folder / "fat.img"
    image.write_bytes(b"\0" * _PARTITION)
    environment = os.environ | {"MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}

    def tool(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, env=environment)

    tool("mformat", "-i", str(image), "-F" if _PARTITION > 1 << 25 else "-v", "SMALL", "::")
    for name, content in files.items():
        if "/" in name:
            subprocess.run(
                ["mmd", "-i", str(image), f"::{name.partition('/')[0]}"],
                check=False,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        source = folder / "content"
        source.write_bytes(content)
        tool("mcopy", "-i", str(image), str(source), f"::{name}")
    return image.read_bytes()


def disk(content: bytes) -> bytes:
    """A disk with that in its one partition."""
    table = bytearray(CELL)
    start, length = CELL // _SECTOR, len(content) // _SECTOR
    line = bytes([0, 0, 0, 0, 6, 0, 0, 0])
    table[446:462] = line + start.to_bytes(4, "little") + length.to_bytes(4, "little")
    table[510:512] = b"\x55\xaa"
    return bytes(table) + content


def save(
    service: Service, folder: Path, files: Mapping[str, bytes], name: str = ""
) -> tuple[str, str, bytes]:
    """Back up such a disk; image, version, and the disk's bytes."""
    saved = disk(fat(folder, files))
    pc = service.machine(**({"image": name} if name else {}))
    cells = [saved[start : start + CELL] for start in range(0, len(saved), CELL)]
    for each in cells:
        pc.put(each)
    digests = b"".join(bytes.fromhex(digest_of(each)) for each in cells)
    size = len(saved) - CELL
    segments = (
        Segment("boot", 0, CELL, Extents.whole(CELL), digests[:32], content="table"),
        Segment("partition", CELL, size, Extents.whole(size), digests[32:], 1, content="vfat"),
    )
    table = Table("dos", partitions=(TablePartition(1, CELL // 512, size // 512, "6"),))
    made = Disk("disk0", Identity("S1"), len(saved), 512, 512, table, segments)
    name = name or pc.name
    answer = pc.request(
        "POST", f"/v1/images/{name}", content=serialize(Manifest(name, CELL, (made,)))
    )
    assert answer.status_code == 201, answer.text
    service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    return name, answer.json()["version"], saved


def _read(answer: httpx.Response) -> bool:
    return bool(answer.json().get("state") != "being read")


def taken_out(service: Service, image: str, version: str) -> str:
    """A file that can be downloaded."""
    wanted = {"kind": "file", "partition": "disk0:1", "path": "/hello.txt"}
    said = as_user("operator")
    path = f"/v1/images/{image}/{version}/downloads"
    made = service.web.post(path, json=wanted, headers=said).json()["id"]
    until(lambda: service.web.get(f"/v1/downloads/{made}", headers=said).json()["ended"])
    # What is read once is there at once.
    where = {"partition": "disk0:1", "path": "/hello.txt"}
    files = f"/v1/images/{image}/{version}/files"
    for query in (where, {"path": "/"}):
        until(lambda query=query: _read(service.web.get(files, params=query, headers=said)))
    return str(made)
