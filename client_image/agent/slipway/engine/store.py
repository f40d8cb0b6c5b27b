# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine asks of a store, and the proof that a store holds a version soundly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from slipway.engine.errors import ImageDamaged, NotFound
from slipway.engine.parallel import cores, parallel
from slipway.engine.progress import Meter
from slipway.format import MAX_CELL, FrameError, ImageRef, Manifest, decode_frame, version_key


@dataclass(frozen=True)
class VersionInfo:
    """One version in a listing."""

    version: str
    created: str
    bytes: int
    """Used bytes of the disks."""
    stored: int
    """Bytes of its chunks in the store, shared ones included."""
    damage: str = ""
    """Why its manifest can't be read; empty when it can."""
    unreadable: int = 0
    """Bytes that its source disk could not read; above 0 the version is degraded."""
    ahead: bool = False
    """Whether it says a time to come: a clock was wrong when it was made, or before."""


@dataclass(frozen=True)
class ImageInfo:
    """One image in a listing, oldest version first."""

    name: str
    versions: tuple[VersionInfo, ...]


@dataclass(frozen=True)
class Published:
    """A version that now exists."""

    version: str
    stored_bytes: int
    warning: str = ""
    """What its maker should know: that its time is not that of the clock."""


@dataclass(frozen=True)
class Problem:
    """A chunk that can't be used."""

    digest: str
    problem: str


class ChunksLacking(ImageDamaged):
    """A store that is to publish a version wants these chunks of it once more."""

    def __init__(self, digests: Sequence[str]) -> None:
        """At least one digest."""
        more = f" and {len(digests) - 1} more" if len(digests) > 1 else ""
        super().__init__(
            f"chunk {digests[0]} is missing from the store{more}, nothing was published",
            "run the backup again",
        )
        self.digests = frozenset(digests)


class ChunkSource(Protocol):
    """Where the chunks of a version come from. All methods may be called by many threads."""

    threads: int
    """How many fetches or puts at a time do it good."""

    @property
    def discs(self) -> int:
        """On how many media the chunks are; those of one are fetched before those of the next."""

    def disc(self, digest: str) -> int:
        """Which of them has a chunk, from 1 on."""

    def get(self, digest: str) -> bytes:
        """A chunk's frame, unchecked. ImageDamaged when it is missing."""

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Problems of the version's chunks; empty when a restore can rely on all of them."""


class AtHand:
    """A store that has all chunks in one place."""

    discs = 1

    def disc(self, digest: str) -> int:
        """The one place."""
        return 1


class Store(ChunkSource, Protocol):
    """Where chunks and manifests live."""

    asked_at_once: int
    """How many digests make a question to it worth its time."""

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Which of these chunks the store wants to be sent.

        `keys` are those of the contents (`digest_and_key`): a store that keeps images of others
        too believes no name without a proof.
        """

    def put(self, digest: str, frame: bytes) -> None:
        """Keep a chunk."""

    def publish(self, manifest: Manifest) -> Published:
        """Make the manifest a version, wholly or not at all.

        ChunksLacking names chunks of it that it wants to be sent first.
        """

    def manifest(self, ref: ImageRef) -> Manifest:
        """A version's manifest; the newest when the reference has no version."""

    def images(self) -> list[ImageInfo]:
        """All images."""

    def close(self) -> None:
        """The verb is over, however it went."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def pick_version(ref: ImageRef, versions: Iterable[str]) -> str:
    """The version that `ref` means, or a NotFound that says what there is."""
    known = sorted(versions, key=version_key)
    if not known:
        raise NotFound(f"there is no image {ref.name}", "slipway list shows the images")
    if ref.version is None:
        return known[-1]
    if ref.version not in known:
        raise NotFound(
            f"image {ref.name} has no version {ref.version}",
            f"it has {', '.join(known[-5:])}",
        )
    return ref.version


def fetch_content(
    store: ChunkSource, digest: str, size: int, buffer: memoryview | None = None
) -> memoryview:
    """A chunk's content, proven; ImageDamaged when it is not what the manifest says."""
    return fetch_chunk(store, digest, size, buffer)[1]


def fetch_chunk(
    store: ChunkSource, digest: str, size: int, buffer: memoryview | None = None
) -> tuple[bytes, memoryview]:
    """A chunk's frame and its content, proven; ImageDamaged as for the content alone.

    What is wrong is fetched once more: it may have been spoilt on its way, or by a proxy that was
    starting, and nobody shall lose a restore to that.
    """
    frame = store.get(digest)
    try:
        content = decode_frame(digest, frame, buffer)
    except FrameError:
        frame = store.get(digest)
        try:
            content = decode_frame(digest, frame, buffer)
        except FrameError as error:
            raise damaged([Problem(digest, str(error))]) from error
    if len(content) != size:
        raise damaged([Problem(digest, f"it has {len(content)} bytes, its cell {size}")])
    return frame, content


def read_through(
    store: ChunkSource, manifest: Manifest, meter: Meter, threads: int = 0
) -> list[Problem]:
    """Fetch and check every chunk of a version."""
    return read_chunks(store, manifest.chunks(), meter, threads)


def read_chunks(
    store: ChunkSource, chunks: Iterable[tuple[str, int]], meter: Meter, threads: int = 0
) -> list[Problem]:
    """Fetch and check chunks, each with the size of its content."""
    problems: list[Problem] = []
    lock = threading.Lock()

    def worker() -> Callable[[tuple[str, int]], None]:
        buffer = memoryview(bytearray(MAX_CELL))

        def check(item: tuple[str, int]) -> None:
            digest, size = item
            try:
                fetch_content(store, digest, size, buffer)
            except ImageDamaged as error:
                with lock:
                    problems.append(Problem(digest, error.message))
            meter.add(done=size)

        return check

    parallel(chunks, worker, threads or max(store.threads, cores()))
    return sorted(problems, key=lambda problem: problem.digest)


def damaged(problems: Sequence[Problem], image: str = "") -> ImageDamaged:
    """The error that names the first broken chunk and how many there are."""
    first = problems[0]
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    where = f"{image}: " if image else ""
    text = first.problem if first.digest in first.problem else f"{first.digest}: {first.problem}"
    return ImageDamaged(
        f"{where}chunk {text.removeprefix('chunk ')}{more}",
        "use another version, or restore the store's files from its own backup",
    )
