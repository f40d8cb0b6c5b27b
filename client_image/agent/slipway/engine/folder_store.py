# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in a folder, laid out as FORMAT.md says: a disk in the drawer, a share, a DVD."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from slipway.engine.errors import ImageDamaged, NotFound, UsageError
from slipway.engine.parallel import cores
from slipway.engine.progress import Meter
from slipway.engine.soundness import Soundness
from slipway.engine.store import (
    AtHand,
    ChunksLacking,
    ImageInfo,
    Problem,
    Published,
    VersionInfo,
    now,
    pick_version,
    read_chunks,
)
from slipway.engine.store_files import (
    name_once,
    open_regular,
    reading_errors,
    storage_errors,
    sync_all,
    sync_path,
    write_synced,
)
from slipway.format import (
    MAX_FRAME,
    MAX_MANIFEST,
    FormatError,
    ImageRef,
    Manifest,
    ahead_warning,
    check_digest,
    check_name,
    check_version,
    is_ahead,
    is_name,
    make_version,
    parse,
    serialize,
    version_key,
)

# Chunks get their names in batches, after one sync: a name must never outlive its bytes.
_BATCH = 32
_GRACE = 60
# A set of this many digests takes about 20 MB; what is put beyond is read before a restore.
_MOST_OWN = 200_000


class FolderStore(AtHand):
    """Chunks and manifests as plain files."""

    asked_at_once = 1

    def __init__(self, root: Path, create: bool = False, trusting: bool = True) -> None:
        """Open a store; `create` makes the folders of a new one.

        One that is not `trusting` believes no earlier read.
        """
        self.root = root
        self.threads = cores()
        self._trusting = trusting
        self._lock = threading.Lock()
        self._waiting: dict[str, Path] = {}
        self._desk: Path | None = None
        self._desk_lock = -1
        # What this run has put, and therefore knows to be sound: no clock says so, clocks are set.
        self._own: set[bytes] = set()
        if create:
            with storage_errors(root):
                for folder in ("chunks", "images", "tmp"):
                    (root / folder).mkdir(parents=True, exist_ok=True)
        elif not self._is_there():
            raise UsageError(
                f"{root} is no image store: it has no folder images",
                "check --store; slipway backup makes a new store",
            )

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Which of these chunks are neither here nor on their way."""
        with self._lock:
            waiting = set(self._waiting)
        return {
            digest
            for digest in digests
            if digest not in waiting and not self._chunk(digest).exists()
        }

    def put(self, digest: str, frame: bytes) -> None:
        """Write a chunk. It gets its name with its batch, or when the version is published."""
        with storage_errors(self.root):
            path = self._open_desk() / f"{digest}-{secrets.token_hex(4)}"
            path.write_bytes(frame)
            with self._lock:
                self._waiting[digest] = path
                if len(self._own) < _MOST_OWN:
                    self._own.add(bytes.fromhex(digest))
                full = len(self._waiting) >= _BATCH
            if full:
                self._name_waiting()

    def get(self, digest: str) -> bytes:
        """A chunk's frame."""
        try:
            path = self._chunk(digest)
            with open_regular(path) as file:
                # Exactly as much memory as the file needs; a frame above the limit shows by it.
                return file.read(min(path.stat().st_size, MAX_FRAME) + 1) or b""
        except FileNotFoundError:
            raise ImageDamaged(f"chunk {digest} is missing") from None
        except OSError as error:
            raise ImageDamaged(f"chunk {digest} can't be read: {error.strerror}") from error

    def publish(self, manifest: Manifest) -> Published:
        """Sync the chunks, then link the manifest to its name."""
        with storage_errors(self.root):
            self._name_waiting()
            files = self._files(manifest)
            stored = sum(found.st_size for found in files.values())
            sync_all(self.root)
            moment = now()
            while True:
                version = make_version(moment, set(self._versions(manifest.name)))
                stamped = manifest.stamped(version, f"{moment:%Y-%m-%dT%H:%M:%SZ}", stored)
                try:
                    self._link(stamped)
                except FileExistsError:
                    continue
                own = {each: files[each] for each in files if bytes.fromhex(each) in self._own}
                self._soundness().remember(own)
                warning = ahead_warning(manifest.name, version, moment) or ""
                return Published(version, stored, warning)

    def _link(self, manifest: Manifest) -> None:
        """Give a manifest its name, for good. FileExistsError: it is taken."""
        folder = self.root / "images" / check_name(manifest.name)
        folder.mkdir(exist_ok=True)
        sync_path(folder.parent)
        draft = self._open_desk() / f"manifest-{secrets.token_hex(4)}"
        write_synced(draft, serialize(manifest))
        try:
            name_once(draft, folder / f"{check_version(manifest.version)}.json")
        finally:
            draft.unlink(missing_ok=True)
        sync_path(folder)

    def manifest(self, ref: ImageRef) -> Manifest:
        """A version's manifest, checked to be the one that its file name says."""
        version = pick_version(ref, self._versions(ref.name))
        path = self.root / "images" / check_name(ref.name) / f"{check_version(version)}.json"
        return self._read(path, ref.name, version)

    def images(self) -> list[ImageInfo]:
        """All images, damaged versions too."""
        with reading_errors(self.root):
            names = sorted(each.name for each in (self.root / "images").iterdir())
            found = [ImageInfo(name, tuple(self._infos(name))) for name in names if is_name(name)]
            return [each for each in found if each.versions]

    def _is_there(self) -> bool:
        with reading_errors(self.root):
            return (self.root / "images").is_dir()

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Check each chunk by reading it, unless that was done lately and its file is as it was."""
        soundness, files = self._soundness(), dict[str, os.stat_result]()
        unread = []
        for digest, size in manifest.chunks():
            with suppress(OSError):
                files[digest] = self._chunk(digest).stat()
            if self._trusting and digest in files and soundness.knows(digest, files[digest]):
                meter.add(done=size)
            else:
                unread.append((digest, size))
        problems = read_chunks(self, unread, meter)
        bad = {problem.digest for problem in problems}
        read = {digest for digest, _ in unread} - bad
        if read:
            soundness.remember({each: files[each] for each in read if each in files})
        return problems

    def known(self) -> Callable[[str], bool]:
        """What tells of a chunk that it was found sound lately, and that its file is as it was."""
        soundness = self._soundness()

        def knows(digest: str) -> bool:
            try:
                found = self._chunk(digest).stat()
            except OSError:
                return False
            return self._trusting and soundness.knows(digest, found)

        return knows

    def close(self) -> None:
        """Name the chunks that are whole, also after a failure, and clear this run's folder."""
        with suppress(OSError):
            self._name_waiting()
        with self._lock:
            if self._desk is not None:
                shutil.rmtree(self._desk, ignore_errors=True)
                os.close(self._desk_lock)
                self._desk = None

    def _chunk(self, digest: str) -> Path:
        check_digest(digest)
        return self.root / "chunks" / digest[:2] / digest[2:4] / digest

    def _versions(self, name: str) -> list[str]:
        folder = self.root / "images" / check_name(name)
        found = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in folder.iterdir():
                with suppress(FormatError):
                    if path.suffix == ".json":
                        found.append(check_version(path.stem))
        return sorted(found, key=version_key)

    def _infos(self, name: str) -> Iterator[VersionInfo]:
        for version in self._versions(name):
            # One that went since is none.
            with suppress(NotFound):
                yield self._info(self.root / "images" / name, version)

    def _info(self, folder: Path, version: str) -> VersionInfo:
        try:
            manifest = self._read(folder / f"{version}.json", folder.name, version)
        except ImageDamaged as error:
            return VersionInfo(version, "", 0, 0, error.message)
        return VersionInfo(
            version,
            manifest.created,
            manifest.used_bytes,
            manifest.stored_bytes,
            unreadable=manifest.unreadable_bytes,
            ahead=is_ahead(version, now()),
        )

    def _read(self, path: Path, name: str, version: str) -> Manifest:
        try:
            with open_regular(path) as file:
                manifest = parse(file.read(MAX_MANIFEST + 1))
        except FileNotFoundError as error:
            raise NotFound(f"image {name} has no version {version}") from error
        except OSError as error:
            raise ImageDamaged(f"{path} can't be read: {error.strerror}") from error
        except FormatError as error:
            raise ImageDamaged(f"{name}@{version}: {error}", "use another version") from error
        if (manifest.name, manifest.version) != (name, version):
            raise ImageDamaged(
                f"{path} holds the manifest of {manifest.name}@{manifest.version}",
                "use another version",
            )
        return manifest

    def _soundness(self) -> Soundness:
        return Soundness(self.root / "sound" / "chunks")

    def _files(self, manifest: Manifest) -> dict[str, os.stat_result]:
        """The file of each of a version's chunks, by digest."""
        found = {}
        for digest, _ in manifest.chunks():
            try:
                found[digest] = self._chunk(digest).stat()
            except FileNotFoundError:
                raise ChunksLacking([digest]) from None
        return found

    def _open_desk(self) -> Path:
        """This run's folder under tmp/; its lock tells other runs that it is in use."""
        with self._lock:
            if self._desk is None:
                self._sweep()
                desk = self.root / "tmp" / f"run-{os.getpid()}-{secrets.token_hex(4)}"
                desk.mkdir()
                self._desk_lock = os.open(desk, os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(self._desk_lock, fcntl.LOCK_EX)
                self._desk = desk
            return self._desk

    def _sweep(self) -> None:
        """Remove the folders of runs that died."""
        for stale in (self.root / "tmp").glob("run-*"):
            try:
                handle = os.open(stale, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._save_from(stale)
                # A run that begins just now has its folder before it has its lock.
                # Whose clock is ahead, this one's or the store's, makes no difference.
                if abs(time.time() - os.fstat(handle).st_mtime) < _GRACE:
                    continue
                shutil.rmtree(stale, ignore_errors=True)
            except BlockingIOError:
                pass
            finally:
                os.close(handle)

    def _save_from(self, desk: Path) -> None:
        """Take what a run that died left: here nothing, its chunks are sent again."""

    def _name_waiting(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, {}
        if not batch:
            return
        sync_all(self.root)
        for digest, path in batch.items():
            final = self._chunk(digest)
            final.parent.mkdir(parents=True, exist_ok=True)
            path.rename(final)
