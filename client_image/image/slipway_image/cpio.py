# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes cpio archives (newc) whose bytes depend on nothing but their content."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One entry of an archive; `source` is the file that holds the data, if it is not `data`."""

    path: str
    mode: int
    mtime: int = 0
    uid: int = 0
    gid: int = 0
    data: bytes = b""
    source: Path | None = None
    size: int = 0
    device: tuple[int, int] = (0, 0)


def regular(path: str, data: bytes, mode: int = 0o644, mtime: int = 0) -> Member:
    """Return a regular file of root's."""
    return Member(path, stat.S_IFREG | mode, mtime, data=data, size=len(data))


def folder(path: str, mode: int = 0o755, mtime: int = 0) -> Member:
    """Return a folder of root's."""
    return Member(path, stat.S_IFDIR | mode, mtime)


def with_parents(members: list[Member], mtime: int = 0) -> list[Member]:
    """Return the members sorted by path, preceded by the folders they lie in."""
    known = {member.path: member for member in members}
    for member in members:
        parts = member.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[:depth])
            known.setdefault(parent, folder(parent, mtime=mtime))
    return [known[path] for path in sorted(known)]


def tree(root: Path, newest: int) -> Iterator[Member]:
    """Yield everything below a folder, times no newer than `newest`.

    Further names of a file become symbolic links: as hard links they would need their data
    in a certain order, as copies they would cost memory.
    """
    first_names: dict[int, str] = {}
    for path in sorted(root.rglob("*"), key=lambda item: item.relative_to(root).parts):
        status = path.lstat()
        name = str(path.relative_to(root))
        common = (min(int(status.st_mtime), newest), status.st_uid, status.st_gid)
        if stat.S_ISLNK(status.st_mode):
            target = str(path.readlink()).encode()
            yield Member(name, status.st_mode, *common, data=target, size=len(target))
        elif stat.S_ISREG(status.st_mode) and status.st_ino in first_names:
            target = f"/{first_names[status.st_ino]}".encode()
            yield Member(name, stat.S_IFLNK | 0o777, *common, data=target, size=len(target))
        elif stat.S_ISREG(status.st_mode):
            if status.st_nlink > 1:
                first_names[status.st_ino] = name
            yield Member(name, status.st_mode, *common, source=path, size=status.st_size)
        elif stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
            number = (status.st_rdev >> 8 & 0xFFF, status.st_rdev & 0xFF)
            yield Member(name, status.st_mode, *common, device=number)
        elif stat.S_ISDIR(status.st_mode):
            yield Member(name, status.st_mode, *common)


def _header(number: int, member: Member) -> bytes:
    links = 2 if stat.S_ISDIR(member.mode) else 1
    name = member.path.encode() + b"\0"
    owner = (member.mode, member.uid, member.gid)
    fields = (number, *owner, links, member.mtime, member.size, 0, 0, *member.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4)


def write(members: Iterator[Member] | list[Member], out: BinaryIO) -> int:
    """Write an archive and return its size, a multiple of 512 bytes."""
    written = 0
    for number, member in enumerate(members, start=1):
        written += out.write(_header(number, member))
        if member.source is None:
            written += out.write(member.data)
        else:
            written += _copy(member.source, member.size, out)
        written += out.write(b"\0" * (-member.size % 4))
    written += out.write(_header(0, Member("TRAILER!!!", 0)))
    return written + out.write(b"\0" * (-written % 512))


def _copy(source: Path, size: int, out: BinaryIO) -> int:
    left = size
    with source.open("rb") as data:
        while left:
            block = data.read(min(left, _BLOCK))
            if not block:
                raise OSError(f"{source} became shorter while it was read")
            out.write(block)
            left -= len(block)
    return size
