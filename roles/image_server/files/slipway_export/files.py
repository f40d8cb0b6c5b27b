# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and single files of a version, read by GRUB's file systems as nobody, one child a time.

What is read is a PC's, so it may be damaged or made to fool its reader: no kernel mounts it, and a
reader that crashes, spins or eats memory is a message.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from slipway.engine.errors import (
    ImageDamaged,
    NotFound,
    SlipwayError,
    StoreFull,
    ToolError,
    UsageError,
)
from slipway.engine.folder_store import FolderStore
from slipway.format import ImageRef, Manifest, parse_image_ref

from slipway_export.places import Piece, name_of, places
from slipway_export.sandbox import DESK, MIB, child, nobody
from slipway_export.serving import Served, as_file, served
from slipway_export.volumes import Volume, partitions, volumes

_MEMORY = 512 * MIB
_LIST_SECONDS, _FETCH_SECONDS = 60, 6 * 3600
_LISTING = 8 * MIB
_ENTRY = re.compile(r"(DIR|\?+|\d+) +(?:(\d{14}) )?(.+)")
_SYSTEM = re.compile(r"Filesystem type ([^,\s]+)")
# Their names are the same in capitals.
_CASELESS = ("fat", "exfat", "ntfs", "hfsplus")


@dataclass(frozen=True)
class Entry:
    """A name in a folder."""

    name: str
    folder: bool
    size: int | None
    """Bytes; None for a folder, and for what is no file: a device, a link that leads to none."""
    modified: str
    """`2026-01-31 23:59:59`, in the PC's own time or UTC, as its file system has it."""


class Reader:
    """The disks of one version, looked at from outside."""

    def __init__(self, manifest: Manifest, server: Served, paths: list[Path]) -> None:
        """`paths` are the disks as files, in the order of the manifest's."""
        self.ref = ImageRef(manifest.name, manifest.version)
        self._contents = {
            f"{disk.id}:{segment.id}": segment.content
            for disk in manifest.disks
            for segment in disk.segments
            if segment.kind == "partition"
        }
        self._manifest = manifest
        self._server = server
        self._paths = paths
        self._known: dict[Volume, str] | None = None
        try:
            self.volumes = volumes(self._say("ls"), [disk.id for disk in manifest.disks])
        except SlipwayError:
            # One partition's metadata is damaged: the others are there all the same.
            self.volumes = partitions(manifest.disks)

    def systems(self) -> list[tuple[Volume, str]]:
        """The volumes that hold a file system which can be read, each with its kind."""
        return list(self._systems().items())

    def _systems(self) -> dict[Volume, str]:
        if self._known is None:
            self._known = {}
            for volume in self.volumes:
                with suppress(ToolError, ImageDamaged):
                    if match := _SYSTEM.search(self._say("ls", f"({volume.device})")):
                        self._known[volume] = match[1].rstrip("*")
        return self._known

    def volume(self, name: str) -> tuple[Volume, str]:
        """The volume of that name, with its kind. UsageError says which there are."""
        systems = self.systems()
        for volume, kind in systems:
            if volume.name == name:
                return volume, kind
        readable = ", ".join(volume.name for volume, _ in systems) or "none"
        if name in self._contents or any(name == each.name for each in self.volumes):
            holds = self._contents.get(name, "")
            raise UsageError(
                f"{name} of {self.ref} has no file system that can be read here"
                + (f": it holds {holds}" if holds else ""),
                f"those that can be read: {readable}; playbooks/export.yml gets the whole disk",
            )
        raise UsageError(f"{self.ref} has no partition {name}", f"it has {readable}")

    def entries(self, volume: Volume, path: str) -> list[Entry]:
        """What a folder holds; nothing as well when there is no such folder."""
        place = f"({volume.device}){path}"
        lines = self._say("ls", "-la", place).splitlines()
        found = [_entry(*match.groups()) for line in lines if (match := _ENTRY.fullmatch(line))]
        # The long list leaves out what it can't open: links to folders, and to nowhere, devices.
        others = _others(self._say("ls", "-a", place), found) if found else []
        known = [each for each in found if each.name not in (".", "..")]
        return sorted([*known, *others], key=lambda each: each.name)

    def find(self, volume: Volume, kind: str, path: str) -> Entry | None:
        """What has that path. A folder that is not there lists as an empty one: ask its parent."""
        if path == "/":
            return Entry("/", True, None, "")
        parent, name = posixpath.split(path)
        known = self.entries(volume, parent)
        same = [each for each in known if each.name == name]
        if not same and kind in _CASELESS:
            same = [each for each in known if each.name.casefold() == name.casefold()]
        found = same[0] if same else None
        if found is not None and found.size is None and self.entries(volume, path):
            return replace(found, folder=True)
        return found

    def fetch(self, volume: Volume, path: str, size: int, output: IO[bytes]) -> None:
        """Write a file's content to `output`."""
        try:
            self._run(["cat", f"({volume.device}){path}"], output, max(size, 1), _FETCH_SECONDS)
        except ToolError:
            pieces = places(self._manifest, self._read, volume.name)
            if not pieces or self._systems().get(volume) != "ext":
                raise
            # GRUB gives up on files of ext4 that begin with a hole; e2fsprogs don't.
            output.truncate(0)
            output.seek(0)
            self._by_debugfs(pieces, path, size, output)
        if os.fstat(output.fileno()).st_size != size:
            raise ToolError(
                f"{path} of {self.ref} has {size} bytes, but others came back",
                "its file system is damaged: export the disk and repair the copy",
            )

    def _read(self, disk: str, offset: int, size: int) -> bytes:
        index = [each.id for each in self._manifest.disks].index(disk)
        with self._paths[index].open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _by_debugfs(self, pieces: list[Piece], path: str, size: int, output: IO[bytes]) -> None:
        quoted = path.replace('"', '""')
        with as_file(self._server, DESK / "volume", name_of(pieces)) as volume:
            command: list[object] = ["debugfs", "-R", f'cat "{quoted}"', volume]
            child(nobody(_MEMORY, _FETCH_SECONDS), command, output, size, _FETCH_SECONDS)

    def _say(self, *words: str) -> str:
        with tempfile.TemporaryFile(dir=DESK) as output:
            self._run(list(words), output, _LISTING, _LIST_SECONDS)
            output.seek(0)
            return output.read().decode("utf-8", "backslashreplace")

    def _run(self, words: list[str], output: IO[bytes], most: int, seconds: int) -> None:
        command = ["grub-fstest", "-c", len(self._paths), *self._paths, "--", *words]
        failure: SlipwayError | None = None
        self._server.forget()
        try:
            child(nobody(_MEMORY, seconds), command, output, most, seconds * 2)
        except ToolError as error:
            failure = ToolError(
                f"{self.ref} can't be read there: {error.message}",
                "its file system may be damaged, or use what GRUB does not know: "
                "playbooks/export.yml gets the whole disk",
            )
        # It may also end well with less than there is, when it got an I/O error.
        if self._server.reason():
            raise self._server.blamed(failure or ToolError("an I/O error"))
        if failure is not None:
            raise failure


@contextmanager
def reading(store: Path, image: str) -> Generator[Reader, None, None]:
    """A version's disks for the block. Inside a sandbox."""
    manifest = FolderStore(store).manifest(parse_image_ref(image))
    desk = DESK / "files"
    desk.mkdir(mode=0o711)
    with served(desk, store, ImageRef(manifest.name, manifest.version)) as server, ExitStack() as s:
        paths = [
            s.enter_context(as_file(server, DESK / disk.id, disk.id)) for disk in manifest.disks
        ]
        yield Reader(manifest, server, paths)


def plain(path: str) -> str:
    """The path as it is asked for: from the root, without detours."""
    if not path.startswith("/") or any(not char.isprintable() for char in path):
        raise UsageError(f"{path!r} is no path in a file system", "begin with a slash: /etc/hosts")
    return posixpath.normpath("/" + path.lstrip("/"))


def located(reader: Reader, path: str, partition: str) -> tuple[Volume, Entry]:
    """Where the path is, on `partition` or, without one, on the only one that has it."""
    systems = [reader.volume(partition)] if partition else reader.systems()
    found, failures = list[tuple[Volume, Entry]](), list[SlipwayError]()
    for volume, kind in systems:
        try:
            if (entry := reader.find(volume, kind, path)) is not None:
                found.append((volume, entry))
        except (ToolError, ImageDamaged) as error:
            failures.append(error)
    if failures and not found:
        raise failures[0]
    where = partition or ", ".join(volume.name for volume, _ in systems) or "none"
    if not found:
        raise NotFound(
            f"{reader.ref} has no {path} (looked on: {where})",
            "list the folder above it, or the partitions with path=/",
        )
    if len(found) > 1:
        raise UsageError(
            f"{path} is on {', '.join(volume.name for volume, _ in found)} of {reader.ref}",
            f"say which: partition={found[0][0].name}",
        )
    return found[0]


def save(reader: Reader, volume: Volume, path: str, size: int, to: Path, leave: int) -> None:
    """Fetch a file to `to`, which is there whole or not at all; so many bytes stay free there."""
    free = shutil.disk_usage(to.parent).free - leave
    if free < size:
        raise StoreFull(
            f"{to.parent} has {max(free, 0)} bytes left, the file has {size}", "make room"
        )
    draft = to.with_name(f".{to.name}.part")
    try:
        with draft.open("wb") as output:
            os.fchmod(output.fileno(), 0o600)
            reader.fetch(volume, path, size, output)
            os.fsync(output.fileno())
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)


def _others(text: str, known: list[Entry]) -> list[Entry]:
    """Names in GRUB's short list that its long one, in the same order, has not.

    They are parted by blanks, so one with a blank in it looks like two.
    """
    names, position = list[str](), 0
    for entry in known:
        at = text.find(entry.name + ("/ " if entry.folder else " "), position)
        if at < 0:
            return []
        names += text[position:at].split()
        position = at + len(entry.name) + 1 + entry.folder
    names += text[position:].strip("/ \n").split()
    return [Entry(name, False, None, "") for name in names]


def _entry(what: str, when: str | None, name: str) -> Entry:
    folder = what == "DIR"
    modified = ""
    if when:
        modified = f"{when[:4]}-{when[4:6]}-{when[6:8]} {when[8:10]}:{when[10:12]}:{when[12:]}"
    return Entry(
        name.removesuffix("/") if folder else name,
        folder,
        int(what) if what.isdigit() else None,
        modified,
    )
