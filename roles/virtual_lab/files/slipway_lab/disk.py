# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a PC's disk: a real table, real file systems, a Debian that boots from it.

No loop device and no mount: every tool here writes at an offset of the file,
so a lab that dies half-way leaves a file behind and nothing else.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from slipway_lab import debian, grub
from slipway_lab.config import Config, Machine
from slipway_lab.errors import LabError
from slipway_lab.layout import MIB, Placed, place, sfdisk_script
from slipway_lab.tools import give, remove_tree, run

HOME_FILES = 12


@dataclass(frozen=True)
class Identity:
    """What makes one disk different from every other."""

    marker: str
    disk_id: str
    machine_id: str
    uuids: dict[int, str]

    @classmethod
    def new(cls, machine: Machine, placed: tuple[Placed, ...]) -> Identity:
        """Draw one by lot."""
        uuids = {}
        for part in placed:
            volume = secrets.token_hex(4).upper()
            fat = part.wanted.fs == "vfat"
            uuids[part.number] = f"{volume[:4]}-{volume[4:]}" if fat else str(uuid.uuid4())
        mbr = machine.disk.table == "mbr"
        return cls(
            marker=secrets.token_hex(8),
            disk_id=f"0x{secrets.token_hex(4)}" if mbr else str(uuid.uuid4()),
            machine_id=secrets.token_hex(16),
            uuids=uuids,
        )


def recipe(config: Config, machine: Machine) -> str:
    """Name what a disk was made from: the PC's variables and the cached Debian."""
    size = machine.disk.root_size_mib
    key = None if size is None else debian.pc_key(config, size)
    return debian.fingerprint("disk", key, machine.name, machine.firmware, repr(machine.disk))


def is_made(config: Config, machine: Machine) -> bool:
    """Tell whether the disk exists; refuse one that was made from other variables."""
    record, image = config.paths.record(machine.name), config.paths.disk(machine.name)
    if not record.exists() or not image.exists():
        return False
    if json.loads(record.read_text())["recipe"] != recipe(config, machine):
        raise LabError(
            f"The disk of {machine.name} was made from other variables than today's.",
            "Nothing was changed. For new disks: `make lab-down`, then `make lab`.",
        )
    return True


def make(config: Config, machine: Machine, master: Path | None) -> None:
    """Write the disk of a PC and the record of it; the disk's real name comes last.

    `master` is the Debian that its root starts from; a disk without one holds only data.
    """
    work = config.paths.build / f"disk-{machine.name}"
    remove_tree(work)
    work.mkdir(parents=True)
    maker = _Maker(config, machine, work, place(machine.disk))
    maker.write(master)
    paper, final = config.paths.record(machine.name), config.paths.disk(machine.name)
    for path in (paper, final):
        path.parent.mkdir(parents=True, exist_ok=True)
    paper.write_text(json.dumps(maker.record(), indent=2) + "\n")
    give(paper, config)
    give(maker.image, config)
    # A new disk begins a new life; what an earlier one said would only mislead.
    config.paths.console(machine.name).unlink(missing_ok=True)
    maker.image.replace(final)
    remove_tree(work)


def overwrite(path: Path) -> int:
    """Fill a disk file with random bytes from the first to the last; return how many."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        left = size
        while left:
            left -= file.write(os.urandom(min(4 * MIB, left)))
        file.flush()
        os.fsync(file.fileno())
    return size


class _Maker:
    """One disk in the making, as a file in the work folder."""

    def __init__(
        self, config: Config, machine: Machine, work: Path, placed: tuple[Placed, ...]
    ) -> None:
        self.image = work / "disk.img"
        self._config = config
        self._machine = machine
        self._work = work
        self._placed = placed
        self._root = next((p for p in placed if p.wanted.mount == "/"), None)
        self._identity = Identity.new(machine, placed)

    def write(self, master: Path | None) -> None:
        """Make table, file systems, content and boot loader."""
        disk = self._machine.disk
        with self.image.open("wb") as file:
            file.truncate(disk.size_mib * MIB)
        script = sfdisk_script(disk, self._placed, self._identity.disk_id)
        self._run("sfdisk", "--quiet", "--no-tell-kernel", self.image, stdin=script)
        for part in self._placed:
            if part is self._root and master is not None:
                self._fill_root(part, master)
            elif part.wanted.fs == "swap":
                self._fill_swap(part)
            elif part.wanted.fs == "vfat":
                self._fill_fat(part)
            else:
                self._fill_home(part)
        if self._root is not None and self._machine.firmware == "bios":
            grub.install_bios(self._config, self.image, self._root.number, self._work)

    def record(self) -> dict[str, object]:
        """Return what tests want to know of the disk later."""
        return {
            "name": self._machine.name,
            "marker": self._identity.marker,
            "machine_id": self._identity.machine_id,
            "disk_id": self._identity.disk_id,
            "root_uuid": self._root_uuid,
            "uuids": {str(number): value for number, value in self._identity.uuids.items()},
            "serial": self._machine.disk.serial,
            "recipe": recipe(self._config, self._machine),
        }

    @property
    def _root_uuid(self) -> str:
        """UUID of the root file system; empty for a disk that holds only data."""
        return self._identity.uuids[self._root.number] if self._root else ""

    def _fill_root(self, part: Placed, master: Path) -> None:
        """Copy the common Debian, give it its own UUID and the files that differ.

        debugfs ends with 0 whatever happens, so its result is what gets checked.
        """
        inside = f"{self.image}?offset={part.offset}"
        own = self._identity.uuids[part.number]
        _copy_sparse(master, self.image, part.offset)
        self._run("tune2fs", "-U", own, "-L", part.wanted.label[:16], inside)
        files = self._personal_files(own)
        commands = ["rm /etc/machine-id"]
        for index, (path, text) in enumerate(files.items()):
            source = self._work / f"file{index}"
            source.write_text(text)
            source.chmod(0o644)
            commands.append(f'write "{source}" {path}')
        script = self._work / "debugfs"
        script.write_text("\n".join(commands) + "\n")
        self._run("debugfs", "-w", "-f", script, inside)
        self._run("e2fsck", "-fn", inside)
        for path, text in files.items():
            if self._run("debugfs", "-R", f"cat {path}", inside) != text:
                raise LabError(f"debugfs did not write {path}.", "Please report this.")

    def _personal_files(self, root_uuid: str) -> dict[str, str]:
        name = self._machine.name
        return {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
            "/etc/machine-id": f"{self._identity.machine_id}\n",
            "/etc/fstab": fstab(self._placed, self._identity.uuids),
            "/etc/slipway-lab/marker": f"{self._identity.marker}\n",
            "/boot/grub/grub.cfg": grub.menu(root_uuid),
        }

    def _fill_swap(self, part: Placed) -> None:
        """mkswap knows no offset, so it writes into a file of the right size first."""
        area = self._work / "swap"
        with area.open("wb") as file:
            file.truncate(part.kib * 1024)
        own, label = self._identity.uuids[part.number], part.wanted.label[:15]
        self._run("mkswap", "--quiet", "--uuid", own, "--label", label, area)
        _copy_sparse(area, self.image, part.offset)

    def _fill_fat(self, part: Placed) -> None:
        volume = self._identity.uuids[part.number].replace("-", "")
        label = (part.wanted.label or "ESP")[:11].upper()
        self._run(
            *("mkfs.vfat", "-F", "32", "-s", "1", "-i", volume, "-n", label),
            *("--offset", str(part.start), "-h", str(part.start), self.image, str(part.kib)),
        )
        if part.wanted.mount == "/boot/efi":
            files = grub.efi_files(self._config, self._machine, self._root_uuid, self._work)
            drive = f"{self.image}@@{part.offset}"
            folders = {str(parent) for path in files for parent in Path(path).parents} - {"."}
            self._run("mmd", "-i", drive, *(f"::/{folder}" for folder in sorted(folders)))
            for path, source in files.items():
                self._run("mcopy", "-i", drive, source, f"::/{path}")

    def _fill_home(self, part: Placed) -> None:
        """Make a file system with some users' files, their bytes fixed by the PC's name."""
        home = self._work / f"home{part.number}"
        letters = random.Random(f"{self._machine.name} {part.number}")
        folder = home / "ada" / "papers"
        folder.mkdir(parents=True)
        (home / "ada" / "readme.txt").write_text(f"Home of ada on {self._machine.name}.\n")
        for index in range(HOME_FILES):
            size = letters.randrange(40_000, 1_200_000)
            (folder / f"scan-{index:02}.dat").write_bytes(letters.randbytes(size))
        (folder / "latest.dat").symlink_to(f"scan-{HOME_FILES - 1:02}.dat")
        own, label = self._identity.uuids[part.number], part.wanted.label[:16]
        self._run(
            *("mke2fs", "-q", "-F", "-t", part.wanted.fs, "-U", own, "-L", label),
            *("-E", f"nodiscard,root_owner=0:0,offset={part.offset}"),
            *("-d", home, self.image, f"{part.kib}k"),
        )

    def _run(self, *argv: str | Path, stdin: str | None = None) -> str:
        return run(self._config, *argv, stdin=stdin)


def fstab(placed: tuple[Placed, ...], uuids: dict[int, str]) -> str:
    """Render /etc/fstab: every partition is mounted or used, by UUID."""
    options = {"/": "errors=remount-ro 0 1", "/boot/efi": "umask=0077 0 1"}
    lines = []
    for part in placed:
        name = f"UUID={uuids[part.number]}"
        if part.wanted.fs == "swap":
            lines.append(f"{name} none swap sw 0 0")
        elif part.wanted.mount:
            rest = options.get(part.wanted.mount, "defaults 0 2")
            lines.append(f"{name} {part.wanted.mount} {part.wanted.fs} {rest}")
    return "\n".join(lines) + "\n"


def _copy_sparse(source: Path, target: Path, offset: int) -> None:
    """Copy the data of a sparse file into the disk file; holes stay holes."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        at, size = 0, source.stat().st_size
        while at < size:
            try:
                at = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(reader.fileno(), at, os.SEEK_HOLE)
            while at < end:
                data = os.pread(reader.fileno(), min(4 * MIB, end - at), at)
                written = os.pwrite(writer.fileno(), data, offset + at)
                at += written
