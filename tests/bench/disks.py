# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of the bench: one from a real system's files, and two that differ from it."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..storage.disk_builder import mounted, same_ranges, sh, used_ranges

MIB = 1 << 20
_SHARE = 0.05
_KEYS = ("ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_rsa_key")


class Disks:
    """Source, changed source and twin as files, and a target to restore to."""

    def __init__(self, folder: Path, tree: Path, wanted: int) -> None:
        """Fill an ext4 with the first `wanted` bytes of the files below `tree`."""
        self.source = folder / "source.img"
        self.changed = folder / "changed.img"
        self.twin = folder / "twin.img"
        self.target = folder / "target.img"
        self.size = room_for(wanted)
        self.file_bytes = build_disk(self.source, tree, wanted, self.size)
        sh("cp", "--sparse=always", self.source, self.changed)
        _change(self.changed)
        sh("cp", "--sparse=always", self.source, self.twin)
        _rename(self.twin)
        self._used = {path: used_ranges(path, "ext4") for path in (self.source, self.changed)}
        self._used[self.twin] = used_ranges(self.twin, "ext4")
        self.fill()

    def used(self, disk: Path) -> list[tuple[int, int]]:
        """The byte ranges of a disk that hold data, as dumpe2fs tells them."""
        return self._used[disk]

    def used_bytes(self, disk: Path) -> int:
        return sum(end - start for start, end in self._used[disk])

    def fill(self) -> None:
        """Make every byte of the target 0xA5."""
        block = b"\xa5" * (4 * MIB)
        with self.target.open("r+b" if self.target.exists() else "wb") as file:
            for start in range(0, self.size, len(block)):
                file.write(block[: min(len(block), self.size - start)])

    def fill_with(self, disk: Path) -> None:
        """Make the target equal to a disk."""
        sh("dd", f"if={disk}", f"of={self.target}", "bs=4M", "conv=notrunc", "status=none")

    def compare(self, disk: Path) -> None:
        """The target holds every used byte of the disk."""
        same_ranges(disk, self.target, self._used[disk])


def room_for(wanted: int) -> int:
    """Bytes of a disk for so many of files."""
    return -(-wanted * 3 // 2 // MIB) * MIB


def build_disk(path: Path, tree: Path, wanted: int, size: int = 0) -> int:
    """An ext4 of the first `wanted` bytes of the files below `tree`; how many they are."""
    size = size or room_for(wanted)
    with path.open("wb") as file:
        file.truncate(size)
    # As on a disk in use, where the kernel has written all inode tables long ago.
    options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    sh("mkfs.ext4", "-q", "-F", "-E", options, path)
    names, total = _pick(tree, wanted)
    with mounted(path) as point:
        pack = subprocess.Popen(
            ["tar", "-C", "/", "--null", "--no-recursion", "-T", "-", "-cf", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        unpack = subprocess.Popen(["tar", "-C", str(point), "-xf", "-"], stdin=pack.stdout)
        assert pack.stdin is not None
        pack.stdin.write(b"\0".join(os.fsencode(name) for name in names))
        pack.stdin.close()
        assert (unpack.wait(), pack.wait()) == (0, 0)
        _name(point, "pc-first", 1)
    return total


def _pick(tree: Path, wanted: int) -> tuple[list[str], int]:
    names: list[str] = []
    total = 0
    for path in _walk(tree):
        total += path.lstat().st_blocks * 512
        names.append(str(path).lstrip("/"))
        if total >= wanted:
            break
    return names, total


def _walk(tree: Path) -> Iterator[Path]:
    """Files and links below a folder in the order of their names, on its own file system."""
    device = tree.stat().st_dev
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(
            each for each in folders if os.lstat(f"{folder}/{each}").st_dev == device
        )
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_symlink() or path.is_file():
                yield path


def _name(root: Path, name: str, seed: int) -> None:
    """What tells one installed PC from its twin; no key of this machine is ever copied."""
    chance = random.Random(seed)
    (root / "etc/ssh").mkdir(parents=True, exist_ok=True)
    (root / "etc/hostname").write_text(f"{name}\n")
    (root / "etc/machine-id").write_text(f"{chance.randbytes(16).hex()}\n")
    for key in _KEYS:
        (root / "etc/ssh" / key).write_text(f"{chance.randbytes(1200).hex()}\n")
        (root / "etc/ssh" / f"{key}.pub").write_text(f"{chance.randbytes(280).hex()}\n")


def _rename(path: Path) -> None:
    with mounted(path) as point:
        _name(point, "pc-twin", 2)


def _change(path: Path) -> None:
    """Replace one file in twenty as an upgrade does: folder by folder, new file, then rename."""
    chance = random.Random(5)
    with mounted(path) as point:
        folders: dict[Path, list[Path]] = {}
        for file in sorted(each for each in point.rglob("*") if each.is_file()):
            if not file.is_symlink():
                folders.setdefault(file.parent, []).append(file)
        left = _SHARE * sum(map(len, folders.values()))
        order = sorted(folders)
        chance.shuffle(order)
        for folder in order:
            for file in folders[folder]:
                if left < 1:
                    return
                left -= 1
                new = file.with_name(f"{file.name}.new")
                new.write_bytes(chance.randbytes(48) + file.read_bytes())
                new.rename(file)
