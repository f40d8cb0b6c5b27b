# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a version from one store to another: what is missing there, proven, and then its manifest.

Nothing is ever deleted. A copy that was cut goes on where it ended, because what is there is no
longer missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from slipway.engine.copy_target import CopyTarget
from slipway.engine.errors import ImageDamaged
from slipway.engine.parallel import parallel
from slipway.engine.progress import Meter
from slipway.engine.result import CellCounts, Result
from slipway.engine.store import Problem, Store, damaged, fetch_chunk
from slipway.format import MAX_CELL, ImageRef, Manifest


class Target(Protocol):
    """A store that takes versions of another, under the names that they have there."""

    @property
    def root(self) -> object:
        """What it is called."""

    def holds(self, manifest: Manifest) -> bool:
        """Whether the version is there. StoreRefused: another one has its name."""

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Which of these chunks it lacks."""

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Problems of the version's chunks that are there."""

    def put(self, digest: str, frame: bytes) -> None:
        """Keep a chunk that was proven."""

    def adopt(self, manifest: Manifest) -> int:
        """Make it a version there, once all its chunks are; the sum of their sizes."""


def copy(
    source: Store,
    target: Target,
    ref: ImageRef,
    meter: Meter,
    threads: int = 0,
    read_first: bool = False,
) -> Result:
    """Make the version one of the target's, unless it is.

    With `read_first`, chunks that are there already are read, and sent again if they are bad.
    ImageDamaged names a chunk that is bad at the source: then the version is not published, and
    every other chunk of it is there.
    """
    with meter.phase("check", 0):
        manifest = source.manifest(ref)
        known = target.holds(manifest)
        sizes = dict(manifest.chunks())
        wanted = target.missing(list(sizes))
    if read_first:
        with meter.phase("check", manifest.chunk_bytes):
            wanted |= {problem.digest for problem in target.prove(manifest, meter)}
    with meter.phase("copy", sum(sizes[digest] for digest in wanted)):
        _send(source, target, manifest, wanted, meter, threads)
    with meter.phase("publish", 0):
        stored = target.adopt(manifest)
    return _result(manifest, wanted, known, meter.sent, stored)


def missing_there(source: Store, root: Path, ref: ImageRef, meter: Meter) -> Result:
    """What a copy to the store in `root` would do. It need not be there yet."""
    with meter.phase("check", 0):
        manifest = source.manifest(ref)
        wanted, known = {digest for digest, _ in manifest.chunks()}, False
        if (root / "images").is_dir():
            target = CopyTarget(root, look=True)
            known, wanted = target.holds(manifest), target.missing(list(wanted))
    return _result(manifest, wanted, known, 0, 0)


def _result(manifest: Manifest, wanted: set[str], known: bool, sent: int, stored: int) -> Result:
    sizes = dict(manifest.chunks())
    return Result(
        verb="copy",
        changed=bool(wanted) or not known,
        image=manifest.name,
        version=manifest.version,
        read=sum(sizes[digest] for digest in wanted),
        sent=sent,
        stored=stored,
        cells=CellCounts(len(sizes), len(wanted), 0, len(sizes) - len(wanted)),
        unreadable=manifest.unreadable_bytes,
    )


def _send(
    source: Store,
    target: Target,
    manifest: Manifest,
    wanted: set[str],
    meter: Meter,
    threads: int,
) -> None:
    problems: list[Problem] = []
    lock = threading.Lock()

    def worker() -> Callable[[tuple[str, int]], None]:
        buffer = memoryview(bytearray(MAX_CELL))

        def send(chunk: tuple[str, int]) -> None:
            digest, size = chunk
            try:
                frame, _ = fetch_chunk(source, digest, size, buffer)
            except ImageDamaged as error:
                with lock:
                    problems.append(Problem(digest, error.message))
            else:
                target.put(digest, frame)
                meter.add(sent=len(frame))
            meter.add(done=size)

        return send

    chunks = ((digest, size) for digest, size in manifest.chunks() if digest in wanted)
    parallel(chunks, worker, threads or source.threads)
    if problems:
        error = damaged(problems, str(ImageRef(manifest.name, manifest.version)))
        raise ImageDamaged(
            f"{error.message}; the version was not published in {target.root}", error.remedy
        )
