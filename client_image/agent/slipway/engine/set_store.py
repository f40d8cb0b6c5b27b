# SPDX-License-Identifier: GPL-3.0-or-later
"""A store on media: several folders that are one set, as FORMAT.md says. It is only read.

Discs that are not at hand are asked for when a chunk of theirs is wanted. Cells are worked on disc
by disc, so nobody waits for a disc while others still read the one before.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from slipway.engine.errors import ImageDamaged, NotFound, StoreRefused, UsageError
from slipway.engine.progress import Meter
from slipway.engine.store import (
    ImageInfo,
    Problem,
    Published,
    VersionInfo,
    pick_version,
    read_chunks,
)
from slipway.engine.store_files import open_regular
from slipway.format import (
    MAX_FRAME,
    MAX_MANIFEST,
    MAX_SET,
    FormatError,
    ImageRef,
    Manifest,
    MediaSet,
    check_digest,
    parse,
    parse_set,
)

SET_FILE = "set.json"
# Returns the folder of the disc with this number of the set.
Ask = Callable[[MediaSet, int], Path]


def is_medium(folder: Path) -> bool:
    """Whether a folder is a disc of a set, rather than a store."""
    return (folder / SET_FILE).is_file()


def read_set(folder: Path) -> MediaSet:
    """What a disc says of itself; ImageDamaged when that can't be read."""
    try:
        with open_regular(folder / SET_FILE) as file:
            return parse_set(file.read(MAX_SET + 1) or b"")
    except FileNotFoundError:
        raise UsageError(
            f"{folder} is no disc of a set: it has no {SET_FILE}", "name the discs of one set alone"
        ) from None
    except FormatError as error:
        raise ImageDamaged(f"{folder} is no disc of a set: {error}") from error
    except OSError as error:
        raise ImageDamaged(f"{folder / SET_FILE} can't be read: {error.strerror}") from error


class SetStore:
    """The chunks of one version, wherever its discs are."""

    asked_at_once = 1
    # A drive reads one file at a time; what was read is unpacked by all cores.
    threads = 1

    def __init__(self, folders: Sequence[Path], ask: Ask | None = None, memory: int = 0) -> None:
        """`ask` gets a disc that is not there; `memory` is what frames may take, in bytes."""
        self._about = read_set(folders[0])
        self._folders: dict[int, list[Path]] = {}
        self._ask = ask
        self._room = memory
        self._held: dict[str, bytes] = {}
        self._discs: dict[bytes, int] = {}
        self._reading = threading.Lock()
        self._counting = threading.Lock()
        for folder in folders:
            self.add(folder)

    @property
    def about(self) -> MediaSet:
        """The set, as one of its discs says."""
        return self._about

    @property
    def discs(self) -> int:
        """How many there are."""
        return self._about.count

    def add(self, folder: Path) -> int:
        """Take a disc into use and return its number; UsageError for one of another set."""
        found = read_set(folder)
        if found.id != self._about.id:
            raise UsageError(
                f"{folder} is {found.name()}, which does not belong to {self._about.name()}"
                + (": it was made at another time" if _alike(found, self._about) else ""),
                "name the discs of one set alone",
            )
        self._folders.setdefault(found.disc, []).append(folder)
        return found.disc

    def keep(self, here: Collection[Path]) -> None:
        """Only these folders are still there: other discs have left their drives."""
        self._folders = {
            disc: [each for each in folders if each in here]
            for disc, folders in self._folders.items()
        }

    def disc(self, digest: str) -> int:
        """The disc that has a chunk; several may have it."""
        return self._discs.get(bytes.fromhex(check_digest(digest)), 1)

    def manifest(self, ref: ImageRef) -> Manifest:
        """The set's own version."""
        about = self._about
        if ref.name != about.image:
            raise NotFound(f"{about.name()} has no image {ref.name}", f"it has {about.image}")
        pick_version(ref, [about.version])
        with self._reading:
            content = self._manifest_file()
        if hashlib.sha256(content).hexdigest() != about.manifest:
            raise ImageDamaged(
                f"the manifest on {about.name(1)} is not the one that the set was made of",
                "make the disc anew",
            )
        try:
            manifest = parse(content)
        except FormatError as error:
            raise ImageDamaged(f"{about.name(1)}: {error}", "make the disc anew") from error
        chunks = enumerate(manifest.chunks())
        self._discs = {bytes.fromhex(each): about.disc_of(at) for at, (each, _) in chunks}
        return manifest

    def images(self) -> list[ImageInfo]:
        """The one version."""
        about = self._about
        manifest = self.manifest(ImageRef(about.image, about.version))
        version = VersionInfo(
            about.version,
            manifest.created,
            manifest.used_bytes,
            manifest.stored_bytes,
            unreadable=manifest.unreadable_bytes,
        )
        return [ImageInfo(about.image, (version,))]

    def get(self, digest: str) -> bytes:
        """A chunk's frame."""
        held = self._held.get(digest)
        return self.fetch(digest) if held is None else held

    def fetch(self, digest: str) -> bytes:
        """A chunk's frame from its medium, one after the other: it has one head."""
        with self._reading:
            return self._read(digest)

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Read all discs that are at hand. Where others can be asked for, theirs are read later."""
        missing = [each for each in range(1, self.discs + 1) if not self._folders.get(each)]
        if missing and self._ask is None:
            number = missing[0]
            raise ImageDamaged(
                f"{self._about.name(number)} is not here; nothing was written",
                "put it in, or mount it and name its folder with a further --store",
            )
        here = [(each, size) for each, size in manifest.chunks() if self.disc(each) not in missing]
        return read_chunks(_Holding(self), here, meter)

    def check(self, manifest: Manifest, disc: int, meter: Meter) -> list[Problem]:
        """Read all chunks of one disc, and ask for it when it is not at hand."""
        chunks = [(each, size) for each, size in manifest.chunks() if self.disc(each) == disc]
        return read_chunks(self, chunks, meter)

    def hold(self, digest: str, frame: bytes) -> None:
        """Keep a frame as long as there is room, so that it is not read twice."""
        before = self._held.pop(digest, b"")
        with self._counting:
            self._room += len(before) - len(frame)
            if self._room >= 0:
                self._held[digest] = frame
            else:
                self._room += len(frame)

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Media take nothing."""
        raise _read_only()

    def put(self, digest: str, frame: bytes) -> None:
        """Media take nothing."""
        raise _read_only()

    def publish(self, manifest: Manifest) -> Published:
        """Media take nothing."""
        raise _read_only()

    def close(self) -> None:
        """Nothing is left behind."""

    def _read(self, digest: str) -> bytes:
        disc = self.disc(digest)
        while True:
            why = ""
            for folder in self._places(disc):
                try:
                    return _frame(folder / "chunks" / digest[:2] / digest)
                except FileNotFoundError:
                    why = why or "it is missing"
                except OSError as error:
                    why = f"{error.strerror}"
            if self._folders.get(disc):
                raise ImageDamaged(
                    f"chunk {digest} can't be read from {self._about.name(disc)}: {why}",
                    "clean the disc, or make a new one of the same set, and start again",
                )
            self._fetch(disc)

    def _places(self, disc: int) -> Iterator[Path]:
        """Folders that may have a chunk: those of its disc first."""
        yield from self._folders.get(disc, ())
        yield from (
            folder
            for number, folders in self._folders.items()
            if number != disc
            for folder in folders
        )

    def _fetch(self, disc: int) -> None:
        if self._ask is None:
            raise ImageDamaged(
                f"{self._about.name(disc)} is not here", "name its folder with a further --store"
            )
        folder = self._ask(self._about, disc)
        if self.add(folder) != disc:
            raise ImageDamaged(f"{folder} is not {self._about.name(disc)}", "put the right one in")

    def _manifest_file(self) -> bytes:
        about = self._about
        if not self._folders.get(1):
            self._fetch(1)
        path = Path("images") / about.image / f"{about.version}.json"
        why: OSError | None = None
        for folder in self._folders[1]:
            try:
                with open_regular(folder / path) as file:
                    return file.read(MAX_MANIFEST + 1) or b""
            except OSError as error:
                why = error
        raise ImageDamaged(
            f"the manifest on {about.name(1)} can't be read: {why.strerror if why else '?'}",
            "make the disc anew",
        )


class _Holding:
    """The store as its own check reads it: what was sound is held for the restore."""

    def __init__(self, store: SetStore) -> None:
        self._store = store
        self.threads = store.threads
        self.discs = store.discs

    def get(self, digest: str) -> bytes:
        # What was wrong is asked for once more, and then comes from the medium again.
        frame = self._store.fetch(digest)
        self._store.hold(digest, frame)
        return frame

    def disc(self, digest: str) -> int:
        return self._store.disc(digest)

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        return self._store.prove(manifest, meter)


def _frame(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(min(path.stat().st_size, MAX_FRAME) + 1) or b""


def _alike(one: MediaSet, other: MediaSet) -> bool:
    return (one.image, one.version, one.labels) == (other.image, other.version, other.labels)


def _read_only() -> StoreRefused:
    return StoreRefused("discs are only read", "use a folder or an image server as the store")
