# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds and reads LVM and LUKS; what needs device-mapper runs in the guest alone."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import readers
from .disk_builder import MIB, attached, contents, make_ext, mounted, sh

Reader = Callable[[Path], readers.Ranges]
EXTENT = MIB
PASSPHRASE = b"correct horse battery staple"


def lvm(device: Path, *command: object, kernel: bool = False) -> str:
    """One LVM command that sees this device alone; without `kernel` it only writes metadata."""
    settings = 'backup{backup=0 archive=0} global{thin_check_executable=""}'
    options = ["--devices", device.resolve(), "--config", settings]
    return sh("lvm", *command, *options, *([] if kernel else ["--driverloaded", "n"]))


def group_of(path: Path) -> str:
    """A name that no volume group beside it has."""
    return f"slip{path.stat().st_ino}"


def segments(path: Path) -> list[tuple[str, int, int]]:
    """(volume, start, size) in bytes, in the order of each volume's own bytes, by LVM's report."""
    fields = "lv_name,seg_start_pe,pvseg_start,pvseg_size,pe_start"
    with attached(path) as device:
        form = ("--units", "b", "--nosuffix", "--reportformat", "json")
        text = lvm(device, "pvs", "--segments", "-a", "-o", fields, *form, "-q", "-q")
    rows = json.loads(text[text.index("{") :])["report"][0]["pvseg"]
    rows.sort(key=lambda row: int(row["seg_start_pe"] or 0))
    found = []
    for row in rows:
        start = int(row["pe_start"]) + int(row["pvseg_start"]) * EXTENT
        found.append((row["lv_name"], start, int(row["pvseg_size"]) * EXTENT))
    return found


def extract(path: Path, name: str) -> Path:
    """A logical volume as a file of its own, put together by arithmetic."""
    out = path.with_name(f"{path.name}.{name}")
    with path.open("rb") as source, out.open("wb") as target:
        for volume, start, size in segments(path):
            if volume == name:
                source.seek(start)
                target.write(source.read(size))
    return out


def make_linear(pieces: bool) -> Callable[[Path, int, Path], None]:
    """Volumes with ext4, swap and noise; `pieces`: the first one was extended later."""

    def make(path: Path, sector: int, tree: Path) -> None:
        group = group_of(path)
        with attached(path) as device:
            lvm(device, "vgcreate", "-q", "-s", "1M", group, device)
            create = ("lvcreate", "-an", "-Zn", "-Wn", "-y")
            lvm(device, *create, "-n", "root", "-l", 20, group)
            lvm(device, *create, "-n", "swap", "-l", 4, group)
            lvm(device, *create, "-n", "gone", "-l", 6, group)
            lvm(device, *create, "-n", "noise", "-l", 3, group)
            if pieces:
                lvm(device, "lvextend", "-l", "+12", f"{group}/root")
        _fill(path, "gone", lambda file: file.write_bytes(b"deleted" * 700_000))
        with attached(path) as device:
            lvm(device, "lvremove", "-y", f"{group}/gone")
        _fill(path, "root", lambda file: make_ext("ext4")(file, sector, tree))
        _fill(path, "swap", lambda file: sh("mkswap", "-L", "swap-label", file))
        _fill(path, "noise", lambda file: file.write_bytes(b"noise" * 500_000))

    return make


def _fill(path: Path, name: str, write: Callable[[Path], object]) -> None:
    image = extract(path, name)
    write(image)
    with image.open("rb") as source, path.open("r+b") as target:
        for volume, start, size in segments(path):
            if volume == name:
                target.seek(start)
                target.write(source.read(size))
    image.unlink()


def used_linear(path: Path) -> list[tuple[int, int]]:
    """Metadata, and every volume by its own content."""
    places = segments(path)
    size = path.stat().st_size
    used = [(0, MIB), (max(start + length for _, start, length in places), size)]
    inner = {"root": readers.ext, "swap": readers.first_page(4096), "noise": readers.whole}
    for name, reader in inner.items():
        image = extract(path, name)
        logical = 0
        for volume, start, length in places:
            if volume == name:
                for a, b in reader(image):
                    low, high = max(a, logical), min(b, logical + length)
                    used += [(low - logical + start, high - logical + start)] * (low < high)
                logical += length
        image.unlink()
    return used


def check_linear(path: Path) -> object:
    """LVM's own checker, and every volume by its own."""
    with attached(path) as device:
        sh("pvck", "--devices", device, device)
        lvm(device, "vgck", group_name(device))
    root, swap, noise = (extract(path, name) for name in ("root", "swap", "noise"))
    sh("e2fsck", "-fn", root)
    out = path.with_name("dumped")
    out.mkdir()
    sh("debugfs", "-R", f"rdump / {out}", root)
    found = contents(out)
    shutil.rmtree(out)
    assert len(found) > 40
    return found, sh("blkid", "-p", "-o", "value", swap), noise.read_bytes()


def group_name(device: Path) -> str:
    return lvm(device, "vgs", "--noheadings", "-o", "vg_name", "-q", "-q").split()[-1]


@contextmanager
def active(path: Path) -> Iterator[dict[str, Path]]:
    """All visible volumes of the group on this disk, switched on by LVM itself."""
    with attached(path) as device:
        group = group_name(device)
        lvm(device, "vgchange", "-ay", group, kernel=True)
        try:
            yield {node.name: node for node in sorted(Path("/dev", group).iterdir())}
        finally:
            lvm(device, "vgchange", "-an", group, kernel=True)


def luks_format(path: Path, *options: object) -> None:
    with path.with_name("passphrase").open("wb") as file:
        file.write(PASSPHRASE)
    sh(
        "cryptsetup",
        "luksFormat",
        "--batch-mode",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        1000,
        *options,
        path,
        path.with_name("passphrase"),
    )


@contextmanager
def unlocked(path: Path, sector: int = 512) -> Iterator[Path]:
    """What is inside LUKS, as a device; switched off again at the end."""
    name = f"test{path.stat().st_ino}"
    key = path.with_name("passphrase")
    with attached(path, sector) as device:
        sh("cryptsetup", "open", "--key-file", key, device, name)
        try:
            yield Path("/dev/mapper", name).resolve()
        finally:
            sh("cryptsetup", "close", name)


def make_luks(*options: object, lvm_inside: bool = False) -> Callable[[Path, int, Path], None]:
    """LUKS over random bytes, with ext4, or LVM like above, inside."""

    def make(path: Path, sector: int, tree: Path) -> None:
        path.write_bytes(os.urandom(path.stat().st_size))
        luks_format(path, *options)
        inside = path.with_name("inside")
        with unlocked(path, sector) as device:
            with inside.open("wb") as file:
                file.truncate(int(sh("blockdev", "--getsize64", device)))
            maker = make_linear(pieces=True) if lvm_inside else make_ext("ext4", "-b", "4096")
            maker(inside, sector, tree)
            sh("dd", f"if={inside}", f"of={device}", "bs=1M", "conv=fsync", "status=none")
        inside.unlink()

    return make


def inside_of(path: Path, sector: int) -> Path:
    """The decrypted content as a file."""
    out = path.with_name(f"{path.name}.plain")
    with unlocked(path, sector) as device:
        sh("dd", f"if={device}", f"of={out}", "bs=1M", "conv=sparse", "status=none")
    return out


def used_luks(reader: Reader) -> Reader:
    """Header, and where the inner used ranges lie in the ciphertext."""

    def used(path: Path) -> list[tuple[int, int]]:
        plain = inside_of(path, 512)
        offset = path.stat().st_size - plain.stat().st_size
        ranges = [(start + offset, end + offset) for start, end in reader(plain)]
        plain.unlink()
        return [(0, offset), *ranges]

    return used


def check_luks(check: Callable[[Path], object]) -> Callable[[Path, int], object]:
    def run(path: Path, sector: int) -> object:
        plain = inside_of(path, sector)
        found = check(plain)
        plain.unlink()
        return found

    return run


def check_ext(path: Path) -> object:
    sh("e2fsck", "-fn", path)
    with mounted(path, "-o", "ro,loop") as point:
        found = contents(point)
    assert len(found) > 40
    return found
