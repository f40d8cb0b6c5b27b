# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks on disk: ``chunks/ab/cd/<sha256>``, each one zstd frame, verified before it is named."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from slipway.format.errors import FormatError, FrameTooLong
from slipway.format.frames import check_frame, frame_facts
from slipway.format.units import size

from ..base import files
from ..base.errors import ServiceError
from .promises import Promises
from .sync_marks import SyncMarks

_DIGEST_LENGTH = 64


class Fingerprint(NamedTuple):
    """If these stay the same, nobody wrote to the file since."""

    size: int
    mtime_ns: int
    ino: int


class Kept(NamedTuple):
    """A chunk that came and was proven: its file, when, and how long its content is."""

    digest: str
    fingerprint: Fingerprint
    at: float
    content_size: int


@dataclass(frozen=True)
class Room:
    """Free and total bytes of the store's file system, for an unprivileged writer."""

    free: int
    total: int


class ChunkStore:
    """All methods block; callers run them in a thread."""

    def __init__(
        self,
        root: Path,
        reserve_bytes: int,
        marks: SyncMarks,
        is_known_bad: Callable[[str, Fingerprint], bool],
        note_key: Callable[[str, bytes], None] = lambda *_: None,
        note_kept: Callable[[list[Kept]], None] = lambda _: None,
    ) -> None:
        """Open the store and remove what an earlier process left half-done.

        ``note_key`` is told the key of each content that is sent, for proofs; ``note_kept`` of what
        came once a sync has brought it to the disk.
        """
        self.root = root
        self.tmp = root / "tmp"
        self._reserve = reserve_bytes
        self._marks = marks
        self._is_known_bad = is_known_bad
        self._note_key = note_key
        self._note_kept = note_kept
        # What came since the last sync.
        self._came: list[Kept] = []
        self._lock = threading.Lock()
        self.promises = Promises()
        for folder in (root / "chunks", root / "images", self.tmp):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for leftover in self.tmp.iterdir():
            # A copy of an image is made in a folder there.
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        # Held open: syncfs reports write-back errors that came up since the descriptor exists.
        self._handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let the file system go."""
        os.close(self._handle)

    def relative(self, digest: str) -> str:
        """The path of a chunk below ``chunks/``. The digest's form was checked before."""
        return f"{digest[:2]}/{digest[2:4]}/{digest}"

    def path(self, digest: str) -> Path:
        """Where a chunk lies."""
        return self.root / "chunks" / self.relative(digest)

    def fingerprint(self, digest: str) -> Fingerprint | None:
        """What identifies the file's content as unchanged; None when there is no file."""
        try:
            return _fingerprint(self.path(digest))
        except FileNotFoundError:
            return None

    def size_if_kept(self, digest: str) -> int | None:
        """The frame's size if a client need not send the chunk, else None.

        A chunk that a check found broken counts as missing, so the next backup heals it. Whoever
        is told a size is promised the chunk: see `Promises`.
        """
        found = self.fingerprint(digest)
        if found is None or found.size == 0 or self._is_known_bad(digest, found):
            return None
        if self._marks.suspect(digest) and not self._clear(digest):
            return None
        return found.size if self.promises.keep(self.path(digest)) else None

    def is_suspect(self, digest: str) -> bool:
        """Whether its file may have lost its content when the server's kernel died."""
        return self._marks.suspect(digest)

    def is_sound(self, digest: str) -> bool:
        """Whether the chunk is there, as far as is known without reading it. Promises nothing."""
        found = self.fingerprint(digest)
        return found is not None and found.size > 0 and not self._is_known_bad(digest, found)

    def remove(self, digest: str, cutoff_ns: int) -> bool | None:
        """Remove a chunk that nothing names, unless it was promised after ``cutoff_ns``.

        True: it is gone; None: it was before; False: it stays.
        """
        gone = self.promises.remove(self.path(digest), cutoff_ns)
        if gone:
            self._marks.clear(digest)
        return gone

    def _clear(self, digest: str) -> bool:
        """Read a suspect; a sound one is none any more."""
        try:
            check_frame(digest, self.path(digest).read_bytes())
            self._marks.clear(digest)
        except (OSError, FormatError):
            return False
        return True

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that have to be sent."""
        return [digest for digest in digests if self.size_if_kept(digest) is None]

    def folders(self) -> list[Path]:
        """The folders that chunks lie in, by the first byte of their names."""
        found = sorted((self.root / "chunks").iterdir())
        return [each for each in found if len(each.name) == 2]

    def chunks_in(self, folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """The chunks in one of them, with their files."""
        for inner in sorted(each.name for each in folder.iterdir()):
            try:
                with os.scandir(folder / inner) as entries:
                    found = list(entries)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in found:
                if len(entry.name) == _DIGEST_LENGTH and entry.name.startswith(folder.name + inner):
                    yield entry.name, entry

    def put(self, digest: str, frame: bytes) -> bool:
        """Verify a frame and keep it. False: it was here before."""
        try:
            content_size, key = frame_facts(digest, frame)
        except FrameTooLong as error:
            raise ServiceError("too_long", f"Chunk {digest[:12]}: {error}.") from error
        except FormatError as error:
            raise ServiceError("wrong_content", f"Chunk {digest[:12]}: {error}.") from error
        self._note_key(digest, key)
        if self.size_if_kept(digest) is not None:
            return False
        room = self.room()
        if room.free - len(frame) < self._reserve:
            raise ServiceError(
                "store_full",
                f"The image store has {size(room.free)} left, of which {size(self._reserve)} are "
                "kept in reserve: the chunk was not kept.",
            )
        try:
            temporary = files.write_new(self.tmp, frame, sync=False)
            # It looks as old as the promise, whatever the clock has done since.
            self.promises.keep(temporary)
            found = _fingerprint(temporary)
            with self._marks.naming(digest):
                files.replace(temporary, self.path(digest))
        except OSError as error:
            raise files.as_service_error(error, "The chunk") from error
        with self._lock:
            self._came.append(Kept(digest, found, time.time(), content_size))
        return True

    def room(self) -> Room:
        """How much the file system still takes."""
        found = os.statvfs(self.root)
        return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def scratch(self) -> IO[bytes]:
        """A nameless file without a buffer; it is gone when it is closed."""
        try:
            return tempfile.TemporaryFile(dir=self.tmp, buffering=0)
        except OSError as error:
            raise files.as_service_error(error, "The manifest") from error

    def sync(self) -> None:
        """Make every chunk that has its name durable."""
        # Taken before the sync begins: what comes from here on is the next one's.
        with self._lock:
            came, self._came = self._came, []
        covered = self._marks.begin()
        try:
            files.sync_file_system(self._handle)
        except OSError as error:
            self._marks.distrust(covered)
            raise files.as_service_error(error, "What was sent lately") from error
        self._marks.synced(covered)
        if came:
            self._note_kept(came)

    @property
    def dirty(self) -> bool:
        """Whether a chunk was named since the last sync."""
        return self._marks.dirty


def _fingerprint(path: Path) -> Fingerprint:
    found = path.stat()
    return Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino)
