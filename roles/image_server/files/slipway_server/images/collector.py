# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeing what nobody names, beside everything that goes on.

All manifests are read, those in the trash too; a chunk that none of them names is removed, unless
it was sent or promised lately (`promises`). One manifest that can't be read stops the run before
anything is removed. A run that is killed leaves nothing to repair.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slipway.format.codec import MAX_MANIFEST, parse
from slipway.format.errors import FormatError
from slipway.format.names import check_name, check_version

from ..base.errors import ServiceError
from . import promises
from .images import Images
from .marked import Marked
from .memory import Memory
from .store import ChunkStore

log = logging.getLogger(__name__)

# While others transfer, a run rests so many times as long as it works.
_RESTS = 3.0
_LONGEST_REST = 2.0


class Stopped(Exception):
    """The service ends, and the run with it."""


@dataclass
class Outcome:
    """What a run did. Bytes are those of chunk files."""

    seconds: float = 0.0
    versions: int = 0
    kept: int = 0
    kept_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    # Not named, but sent or promised lately.
    pending: int = 0
    pending_bytes: int = 0
    # Named, and not there.
    missing: int = 0


@dataclass(frozen=True)
class _Progress:
    """``step``: manifests, whose number is not known before, or folders of chunks."""

    step: str = "manifests"
    done: int = 0
    total: int = 0


@dataclass
class _Run:
    cutoff_ns: int
    is_busy: Callable[[], bool]
    outcome: Outcome = field(default_factory=Outcome)
    # Each manifest by its name; the number is the place.
    owners: list[tuple[str, str] | None] = field(default_factory=list)
    own: dict[int, int] = field(default_factory=dict)


class Collector:
    """One run at a time; the caller sees to that. `collect` blocks for a long time."""

    def __init__(self, store: ChunkStore, images: Images, memory: Memory, spill: Path) -> None:
        """``spill`` is a file for what does not fit into memory."""
        self._store = store
        self._images = images
        self._memory = memory
        self._spill = spill
        self._stop = threading.Event()
        self._progress = _Progress()

    def progress(self) -> dict[str, Any]:
        """How far the run under way is; from any thread."""
        return asdict(self._progress)

    def stop(self) -> None:
        """End the run that is under way, and each that begins."""
        self._stop.set()

    def collect(self, cutoff: float, is_busy: Callable[[], bool]) -> dict[str, Any]:
        """Remove what is not named and was neither written nor promised since ``cutoff``.

        ServiceError ``collection_stopped`` when that could do harm: then nothing was removed.
        """
        began = time.monotonic()
        self._progress = _Progress()
        self._refuse_forgetful()
        # A power cut must not bring a manifest back whose chunks are gone.
        self._store.sync()
        run = _Run(int(cutoff * 1e9), is_busy)
        marked = Marked(self._spill)
        try:
            self._mark(run, marked)
            folders = list(self._store.folders())
            for number, folder in enumerate(folders):
                self._progress = _Progress("chunks", number, len(folders))
                with self._pace(run):
                    self._sweep(run, marked, folder)
            self._note(run, marked)
        finally:
            marked.close()
        run.outcome.seconds = round(time.monotonic() - began, 3)
        log.info("collection: %s", run.outcome)
        return asdict(run.outcome)

    def _refuse_forgetful(self) -> None:
        try:
            kept = promises.are_kept_in(self._store.tmp)
        except OSError as error:
            raise _stopped(f"The store takes no files: {error.strerror}.") from error
        if not kept:
            raise _stopped("The store's file system does not keep access times that it is told.")

    def _mark(self, run: _Run, marked: Marked) -> None:
        """Read every manifest. One that moves meanwhile is met at one place or the other."""
        seen: set[Path] = set()
        while new := [path for path in self._list() if path not in seen]:
            for path in new:
                self._progress = _Progress("manifests", len(seen), len(seen) + len(new))
                with self._pace(run):
                    self._mark_one(run, marked, path)
                seen.add(path)

    def _list(self) -> list[Path]:
        try:
            return self._images.all_manifests()
        except OSError as error:
            raise _stopped(f"{error.filename} can't be read: {error.strerror}.") from error

    def _mark_one(self, run: _Run, marked: Marked, path: Path) -> None:
        try:
            name, version = check_name(path.parent.name), check_version(path.stem)
            with path.open("rb") as file:
                data = file.read(MAX_MANIFEST + 1)
            with self._images.reading:
                manifest = parse(data)
        except FileNotFoundError:
            # It moved, or somebody removed it for good.
            return
        except OSError as error:
            raise _stopped(f"The manifest {path} can't be read: {error.strerror}.") from error
        except (FormatError, MemoryError) as error:
            raise _stopped(f"The manifest {path} can't be read: {error}.") from error
        is_there = path.parent.parent.name == "images"
        run.owners.append((name, version) if is_there else None)
        for segment in manifest.segments():
            marked.add(_split(segment.digests), len(run.owners) - 1)
        run.outcome.versions += 1

    def _sweep(self, run: _Run, marked: Marked, folder: Path) -> None:
        """Look at the chunks of one of 256 folders."""
        outcome, named, gone = run.outcome, list[str](), list[str]()
        for digest, entry in self._store.chunks_in(folder):
            owner = marked.owner(bytes.fromhex(digest))
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                continue
            if owner is not None:
                outcome.kept += 1
                outcome.kept_bytes += size
                if owner >= 0:
                    run.own[owner] = run.own.get(owner, 0) + size
                named.append(digest)
            elif (removed := self._store.remove(digest, run.cutoff_ns)) is False:
                outcome.pending += 1
                outcome.pending_bytes += size
            elif removed:
                outcome.removed += 1
                outcome.removed_bytes += size
                gone.append(digest)
        self._memory.met(named)
        self._memory.forget(gone)

    def _note(self, run: _Run, marked: Marked) -> None:
        """What the run has seen is known of the versions from now on."""
        self._images.healths.note_own(
            {
                owner: run.own.get(number, 0)
                for number, owner in enumerate(run.owners)
                if owner is not None
            }
        )
        if run.outcome.kept >= len(marked):
            return
        lost: set[str] = set()
        for owner in run.owners:
            if owner is not None:
                lost |= set(self._images.survey(*owner).lacking)
        run.outcome.missing = sum(self._store.fingerprint(digest) is None for digest in lost)

    def _pace(self, run: _Run) -> _Pace:
        return _Pace(self._stop, run.is_busy)


class _Pace:
    """A piece of work that is followed by a rest while others transfer."""

    def __init__(self, stop: threading.Event, is_busy: Callable[[], bool]) -> None:
        self._stop = stop
        self._is_busy = is_busy

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self._is_busy():
            took = time.monotonic() - self._began
            self._stop.wait(min(took * _RESTS, _LONGEST_REST))
        if self._stop.is_set():
            raise Stopped


def _split(digests: bytes) -> Iterable[bytes]:
    return (digests[start : start + 32] for start in range(0, len(digests), 32))


def _stopped(why: str) -> ServiceError:
    return ServiceError(
        "collection_stopped", f"{why} Collection stopped before anything was removed."
    )
