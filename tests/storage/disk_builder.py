# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds disks with real file systems, and finds their used ranges without the agent's code."""

import errno
import hashlib
import mmap
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from .btrfs_reader import btrfs
from .fat_reader import fat

MIB = 1 << 20
FILL = 0xA5
# Copied or compared at once: more than a processor keeps at hand takes several times as long.
_STEP = MIB // 4


def sh(*argv: object, input: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
    """Run a tool; its output, both streams."""
    run = subprocess.run(
        [str(each) for each in argv],
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert run.returncode in ok, f"{argv} ended with {run.returncode}:\n{run.stdout}"
    return run.stdout


def make_tree(root: Path) -> Path:
    """Small files, a large random one, and one of zeros that really occupy blocks."""
    chance = random.Random(7)
    root.mkdir()
    (root / "random").write_bytes(chance.randbytes(3 * MIB))
    (root / "zeros").write_bytes(bytes(2 * MIB))
    for number in range(40):
        folder = root / f"folder{number % 5}"
        folder.mkdir(exist_ok=True)
        text = f"line of file {number}\n" * chance.randrange(1, 9000)
        (folder / f"file{number}").write_text(text)
    return root


def blocks_of(file: FileIO) -> Iterator[bytearray]:
    """What is left of a file; each block takes the place of the one before."""
    block = bytearray(_STEP)
    while length := file.readinto(block):
        del block[length:]
        yield block


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def attached(path: Path, sector: int = 512, offset: int = 0, size: int = 0) -> Iterator[Path]:
    """The file as a loop device, writable."""
    argv = ["losetup", "--find", "--show", "-b", str(sector), "-o", str(offset)]
    device = sh(*argv, "--sizelimit", size, path).strip()
    try:
        yield Path(device)
    finally:
        sh("losetup", "-d", device)


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[Path]:
    """The file system mounted."""
    point = path.with_name(f"{path.name}.mnt")
    point.mkdir()
    try:
        sh("mount", *options, path, point)
        try:
            yield point
        finally:
            sh("umount", point)
    finally:
        point.rmdir()


def fill_mounted(path: Path, tree: Path, *options: str) -> None:
    with mounted(path, *options) as point:
        shutil.copytree(tree, point / "tree")


def make_ext(kind: str, *options: str) -> Callable[[Path, int, Path], None]:
    def make(path: Path, sector: int, tree: Path) -> None:
        sh(f"mkfs.{kind}", "-q", "-F", *options, "-d", tree, path)

    return make


def make_fat(*options: str) -> Callable[[Path, int, Path], None]:
    def make(path: Path, sector: int, tree: Path) -> None:
        sh("mkfs.vfat", "-S", sector, "-n", "EFI", *options, path)
        sh("mcopy", "-s", "-i", path, *sorted(tree.iterdir()), "::/")

    return make


def make_ntfs(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.ntfs", "-q", "-F", "-Q", "-s", sector, "-L", "Windows", path)
    with mounted(path, "-t", "ntfs-3g") as point:
        shutil.copytree(tree, point / "tree")


def make_xfs(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.xfs", "-q", "-s", f"size={sector}", path)
    with attached(path, sector) as device:
        fill_mounted(device_link(device, path), tree)


def make_btrfs(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.btrfs", "-q", "-m", "dup", "-d", "single", path)
    with attached(path, sector) as device:
        fill_mounted(device_link(device, path), tree)


def device_link(device: Path, beside: Path) -> Path:
    """A name for the device beside the file, so that its mount point lies there, too."""
    link = beside.with_name(f"{beside.name}.dev")
    link.unlink(missing_ok=True)
    link.symlink_to(device)
    return link


def make_swap(path: Path, sector: int, tree: Path) -> None:
    path.chmod(0o600)
    sh("mkswap", "-L", "swap-label", path)


def make_f2fs(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.f2fs", "-q", "-w", sector, path)


def make_exfat(path: Path, sector: int, tree: Path) -> None:
    sh("mkfs.exfat", path)


def make_noise(path: Path, sector: int, tree: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(random.Random(3).randbytes(size // 2) + bytes(size - size // 2))


def make_random(path: Path, sector: int, tree: Path) -> None:
    path.write_bytes(random.Random(4).randbytes(path.stat().st_size))


MAKERS: dict[str, Callable[[Path, int, Path], None]] = {
    "ext2": make_ext("ext2", "-b", "1024"),
    "ext3": make_ext("ext3"),
    "ext4": make_ext("ext4"),
    "bigalloc": make_ext("ext4", "-O", "bigalloc", "-C", "65536"),
    "fat12": make_fat("-F", "12"),
    "fat16": make_fat("-F", "16"),
    "fat32": make_fat("-F", "32"),
    "ntfs": make_ntfs,
    "xfs": make_xfs,
    "btrfs": make_btrfs,
    "f2fs": make_f2fs,
    "exfat": make_exfat,
    "swap": make_swap,
    "noise": make_noise,
    "random": make_random,
}


@dataclass(frozen=True)
class Part:
    """A partition: where it lies and what `MAKERS` put into it."""

    number: int
    offset: int
    size: int
    content: str


SHAPES = {
    # label, sector size, disk MiB, then (number, start MiB, size MiB, content)
    "mbr": (
        "dos",
        512,
        260,
        [
            (1, 1, 60, "ext4"),
            (5, 64, 40, "ext3"),
            (6, 106, 20, "swap"),
            (7, 128, 30, "fat16"),
            (8, 160, 64, "ext2"),
        ],
    ),
    "gpt": (
        "gpt",
        512,
        1100,
        [
            (1, 1, 64, "fat32"),
            (2, 66, 96, "ext4"),
            (3, 166, 320, "xfs"),
            (4, 488, 160, "btrfs"),
            (5, 650, 100, "ntfs"),
            (6, 752, 16, "swap"),
            (7, 770, 110, "f2fs"),
            (8, 882, 40, "exfat"),
            (9, 924, 8, "noise"),
            (10, 934, 64, "bigalloc"),
            (11, 1000, 12, "fat12"),
        ],
    ),
    "gpt4k": (
        "gpt",
        4096,
        900,
        [
            (1, 1, 280, "fat32"),
            (2, 284, 96, "ext4"),
            (3, 384, 320, "xfs"),
            (4, 706, 20, "swap"),
            (5, 730, 100, "ntfs"),
        ],
    ),
    "noisy": ("gpt", 512, 260, [(1, 1, 200, "random"), (2, 210, 20, "ext4")]),
    "noisy_mbr": (
        "dos",
        512,
        260,
        [(1, 1, 160, "random"), (5, 164, 20, "ext3"), (6, 186, 60, "noise")],
    ),
    # Swap space, of which an image keeps one page, is as large as what is recognised as ZFS.
    "roomy": (
        "dos",
        512,
        190,
        [
            (1, 1, 24, "ext4"),
            (5, 27, 24, "ext3"),
            (6, 53, 72, "swap"),
            (7, 127, 24, "fat16"),
            (8, 153, 32, "ext2"),
        ],
    ),
    "small": ("gpt", 512, 96, [(1, 1, 30, "ext4"), (2, 40, 30, "fat16")]),
}
_DOS_TYPES = {"swap": "82", "fat16": "6"}


@dataclass
class Disk:
    """A disk in a file."""

    path: Path
    sector: int
    parts: list[Part] = field(default_factory=list)
    label: str = ""

    @classmethod
    def build(cls, path: Path, shape: str, tree: Path) -> "Disk":
        label, sector, size, lines = SHAPES[shape]
        with path.open("wb") as file:
            file.truncate(size * MIB)
        disk = cls(path, sector, label=label)
        disk.parts = [Part(n, start * MIB, length * MIB, what) for n, start, length, what in lines]
        disk._partition()
        for part in disk.parts:
            disk.put(part, tree)
        # Boot code, and the gap behind it, where boot loaders live.
        noise = random.Random(5).randbytes(64 * 1024)
        with path.open("r+b") as file:
            file.write(noise[:440])
            file.seek(40 * sector)
            file.write(noise)
        return disk

    def _partition(self) -> None:
        unit = self.sector
        lines = [f"label: {self.label}"]
        for part in self.parts:
            if self.label == "dos" and part.number == 5:
                # The first extended record lies one MiB before the first logical partition.
                lines.append(f"2 : start={(part.offset - MIB) // unit}, type=5")
            kind = _DOS_TYPES.get(part.content, "83") if self.label == "dos" else "L"
            place = f"start={part.offset // unit}, size={part.size // unit}"
            lines.append(
                f"{part.number} : {place}, type={kind}"
                + (", bootable" if self.label == "dos" and part.number == 1 else "")
                + (f', name="part {part.number}"' if self.label == "gpt" else "")
            )
        with attached(self.path, self.sector) as device:
            sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", device, input="\n".join(lines))

    def put(self, part: Part, tree: Path) -> None:
        image = self.path.with_name(f"{self.path.name}.{part.number}")
        with image.open("wb") as file:
            file.truncate(part.size)
        MAKERS[part.content](image, self.sector, tree)
        self.paste(part, image)
        image.unlink()

    def paste(self, part: Part, image: Path) -> None:
        sh(
            "dd",
            f"if={image}",
            f"of={self.path}",
            "bs=1M",
            f"seek={part.offset}",
            "oflag=seek_bytes",
            "conv=notrunc,sparse",
            "status=none",
        )

    def part(self, number: int) -> Part:
        return next(part for part in self.parts if part.number == number)

    def extract(self, part: Part, to: Path) -> Path:
        """The partition as a file, with its holes."""
        end = part.offset + part.size
        with self.path.open("rb") as source, to.open("wb") as target:
            target.truncate(part.size)
            for start, stop in data_of(source.fileno(), part.offset, end):
                target.seek(start - part.offset)
                while start < stop:
                    start += os.sendfile(target.fileno(), source.fileno(), start, stop - start)
        return to

    def copy(self, path: Path) -> "Disk":
        sh("cp", "--sparse=always", self.path, path)
        return Disk(path, self.sector, self.parts, self.label)

    def table_ranges(self) -> list[tuple[int, int]]:
        """What makes up the table: all before the first partition, the backup GPT, the EBRs."""
        size = self.path.stat().st_size
        ranges = [(0, self.parts[0].offset)]
        if self.label == "gpt":
            ranges.append((size - 16384 - self.sector, size))
        else:
            logical = [part.offset for part in self.parts if part.number >= 5]
            ranges += [(start - MIB, start) for start in logical[:1]]
        return ranges


def data_of(handle: int, place: int, end: int) -> Iterator[tuple[int, int]]:
    """What is no hole between two places of a file."""
    while place < end:
        try:
            start = os.lseek(handle, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        place = os.lseek(handle, start, os.SEEK_HOLE)
        if start < end:
            yield start, min(place, end)


def disk_with(
    room: Path,
    script: str,
    size: int,
    contents: dict[int, Callable[..., None]],
    tree: Path,
    sector: int = 512,
) -> Disk:
    """A disk from a script of sfdisk's; numbers of partitions and what goes into them."""
    path = room / "source"
    with path.open("wb") as file:
        file.truncate(size)
    with attached(path, sector) as device:
        sh("sfdisk", "-q", "--no-reread", "--no-tell-kernel", device, input=script)
        rows = sh("sfdisk", "--dump", device).replace(str(device), "DISK").splitlines()
    disk = Disk(path, sector)
    for row in rows:
        if row.startswith("DISK"):
            words = row.replace(",", " ").replace("=", " ").split()
            number = int(words[0].removeprefix("DISKp").removeprefix("DISK"))
            start = int(words[words.index("start") + 1]) * sector
            length = int(words[words.index("size") + 1]) * sector
            if number in contents:
                disk.parts.append(part := Part(number, start, length, ""))
                image = room / "part"
                with image.open("wb") as file:
                    file.truncate(length)
                contents[number](image, sector, tree)
                disk.paste(part, image)
                image.unlink()
    return disk


def filled(path: Path, size: int) -> Path:
    """A target full of 0xA5."""
    block = bytes([FILL]) * (4 * MIB)
    with path.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: min(len(block), size - start)])
    return path


def same_ranges(a: Path, b: Path, ranges: list[tuple[int, int]], shift: int = 0) -> None:
    """Both files hold the same bytes in all ranges."""
    with a.open("rb") as first, b.open("rb") as second:
        one = mmap.mmap(first.fileno(), 0, prot=mmap.PROT_READ)
        two = mmap.mmap(second.fileno(), 0, prot=mmap.PROT_READ)
        with one, two:
            for start, end in ranges:
                for low in range(start + shift, end + shift, _STEP):
                    high = min(low + _STEP, end + shift)
                    assert one[low:high] == two[low:high], f"bytes {low}..{high} differ"


_EXT_FREE = re.compile(r"^  Free blocks: (.+)$", re.MULTILINE)


def used_ranges(path: Path, content: str) -> list[tuple[int, int]]:
    """Used ranges of a file system in a file, by its own tools and twenty lines of arithmetic."""
    size = path.stat().st_size
    if content in ("ext2", "ext3", "ext4", "bigalloc"):
        text = sh("dumpe2fs", path)
        block = int(re.findall(r"^Block size:\s+(\d+)", text, re.MULTILINE)[0])
        cluster = int((re.findall(r"^Cluster size:\s+(\d+)", text, re.MULTILINE) or [block])[0])
        free = []
        for line in _EXT_FREE.findall(text):
            for item in line.split(", "):
                first, _, last = item.partition("-")
                free.append((int(first) * block, int(last or first) * block + cluster))
        return _complement(free, size)
    if content == "swap":
        return [(0, 4096)]
    if content == "btrfs":
        return btrfs(path)
    if content.startswith("fat"):
        return fat(path)
    if content in ("noise", "random"):
        return [(0, size)]
    with attached(path) as device:
        run = subprocess.run(
            [f"partclone.{content}", "-D", "-q", "-L", "/dev/null", "-s", str(device), "-o", "-"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    rows = [line.split() for line in run.stdout.splitlines() if line.endswith(("+", "?"))]
    runs = [(int(a, 16), int(b, 16), mark) for a, b, mark in (row for row in rows if len(row) == 3)]
    end = runs[-1][0] + runs[-1][1]
    return [(start, start + length) for start, length, mark in runs if mark == "+"] + [(end, size)]


def _complement(free: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    used, position = [], 0
    for start, end in sorted(free):
        if start > position:
            used.append((position, start))
        position = max(position, end)
    return [*used, (position, size)] if position < size else used


def check(path: Path, content: str, sector: int, tree: Path) -> None:
    """The file system's own checker is content, and every file is as it was."""
    if content in ("ext2", "ext3", "ext4", "bigalloc"):
        sh("e2fsck", "-fn", path)
    elif content.startswith("fat"):
        sh("fsck.vfat", "-n", path)
        back = path.with_name(f"{path.name}.files")
        back.mkdir()
        sh("mcopy", "-s", "-i", path, "::/*", back)
        same_tree(back, tree)
        shutil.rmtree(back)
    elif content == "ntfs":
        sh("ntfsresize", "--info", "--force", "--no-progress-bar", path)
        with mounted(path, "-t", "ntfs-3g", "-o", "ro") as point:
            same_tree(point / "tree", tree)
    elif content == "exfat":
        sh("fsck.exfat", "-n", path)
    elif content == "f2fs":
        sh("fsck.f2fs", "--dry-run", path)
    elif content in ("xfs", "btrfs"):
        with attached(path, sector) as device:
            if content == "xfs":
                sh("xfs_repair", "-n", device)
            else:
                sh("btrfs", "check", "--check-data-csum", device)
            with mounted(device_link(device, path)) as point:
                same_tree(point / "tree", tree)
                if content == "btrfs":
                    scrub = sh("btrfs", "scrub", "start", "-B", "-r", point)
                    assert "no errors found" in scrub, scrub
    elif content == "swap":
        assert "swap-label" in sh("blkid", "-p", path)


def same_tree(a: Path, b: Path) -> None:
    """Both folders hold the same files with the same content."""
    assert contents(a) == contents(b)


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): sha256(p) for p in sorted(root.rglob("*")) if p.is_file()}
