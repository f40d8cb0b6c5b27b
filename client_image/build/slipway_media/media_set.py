# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a set of media as a plan says: each chunk is proven on its way to a disc.

What is proven, what is written and what goes into the disc's digest are the same bytes in memory,
read once. The cores prove while the disk writes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from slipway.engine.errors import ImageDamaged
from slipway.engine.folder_store import FolderStore
from slipway.engine.parallel import cores
from slipway.engine.store import fetch_chunk
from slipway.format import MAX_CELL

from slipway_media import iso, remembered
from slipway_media.errors import MediaError
from slipway_media.layout import Digest, changed, write_head
from slipway_media.plan import Plan, fill_tree
from slipway_media.spanning import SECTOR

# More threads have nothing to do while one disk writes, and the job may have so much memory alone.
_MOST_THREADS = 8
# Frames for each of them that are proven or being proven before they are written.
_AHEAD = 4
_PAUSE = 0.2
# Fetches a chunk's frame and proves it.
Prove = Callable[[iso.Chunk], bytes]


def make(plan: Plan, folder: Path, service: Path | None = None) -> list[dict[str, Any]]:
    """Write the discs into a folder; return file, label, bytes and digest of each.

    `service`: the socket of the one whose store it is, which may remember what is sound.
    """
    discs, prove = [], _prover(plan, service)
    for number in range(1, len(plan.discs) + 1):
        target, label = folder / plan.file(number), plan.about(number).labels[number - 1]
        with (
            # A disk that fails can't be cleared either, and that is not what people are told.
            tempfile.TemporaryDirectory(
                prefix=".work-", dir=folder, ignore_cleanup_errors=True
            ) as work,
            target.open("w+b") as file,
        ):
            digest = _write(plan, number, file, Path(work), prove)
            size = file.tell()
        if plan.limit and size > plan.limit:
            raise MediaError(
                f"{target.name} has {size} bytes, and the medium takes {plan.limit}.",
                "Say a smaller number of bytes for the medium, and report this.",
            )
        discs.append({"file": target.name, "label": label, "bytes": size, "sha256": digest})
    return discs


def _write(plan: Plan, number: int, file: IO[bytes], work: Path, prove: Prove) -> str:
    """Write a disc; return its digest."""
    tree, boots, positions = work / "tree", number == 1, plan.discs[number - 1].positions()
    fill_tree(plan, tree, number)
    chunks = [plan.chunks[at] for at in positions]
    label = plan.about(number).labels[number - 1]
    sizes = [plan.sizes[at] for at in positions]
    wanted = [(each.digest, size) for each, size in zip(chunks, sizes, strict=True)]
    layout, digest = write_head(iso.command(tree, label, chunks, boots, work), file, wanted)
    with _written_meanwhile(file), _hashed_beside(digest) as hash_too:
        for frame, size in zip(_proven(prove, chunks), sizes, strict=True):
            if len(frame) != size:
                raise changed()
            filling = bytes(-len(frame) % SECTOR)
            hash_too(frame, filling)
            file.write(frame)
            file.write(filling)
        end = iso.tail(tree, layout, boots)
        hash_too(end)
        file.write(end)
        file.flush()
    return digest.hexdigest()


def _proven(prove: Prove, chunks: list[iso.Chunk]) -> Iterator[bytes]:
    """The frame of each chunk: where a medium goes, nobody can fetch another one."""
    threads = min(cores(), _MOST_THREADS)
    with ThreadPoolExecutor(threads) as crew:
        waiting = deque[Future[bytes]]()
        try:
            for chunk in chunks:
                waiting.append(crew.submit(prove, chunk))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def _prover(plan: Plan, service: Path | None) -> Prove:
    """What fetches a chunk's frame and proves it, in any thread.

    What the store or its service remembers as sound needs the look alone that its file is as it was
    then.
    """
    store, sizes = FolderStore(plan.order.store), dict(plan.manifest.chunks())
    stored, room = store.known(), threading.local()
    served = remembered.ask(service, sizes) if service else {}

    def known(chunk: iso.Chunk) -> bool:
        return stored(chunk.digest) or remembered.is_as_it_was(
            chunk.source, served.get(chunk.digest)
        )

    def fetch(chunk: iso.Chunk) -> bytes:
        if known(chunk):
            frame = store.get(chunk.digest)
            # Looked at again: nothing has changed it while it was read.
            if known(chunk):
                return frame
        return fetch_chunk(store, chunk.digest, sizes[chunk.digest], room.buffer)[0]

    def prove(chunk: iso.Chunk) -> bytes:
        if not hasattr(room, "buffer"):
            room.buffer = memoryview(bytearray(MAX_CELL))
        try:
            return fetch(chunk)
        except ImageDamaged as error:
            raise MediaError(
                f"{plan.manifest.name}@{plan.manifest.version} can't be put on media: "
                f"{error.message}.",
                "Choose another version.",
            ) from error

    return prove


@contextmanager
def _hashed_beside(digest: Digest) -> Iterator[Callable[..., None]]:
    """Take bytes into a digest while other work goes on."""
    waiting = deque[Future[None]]()

    def update(*pieces: bytes) -> None:
        for each in pieces:
            digest.update(each)

    def put(*pieces: bytes) -> None:
        waiting.append(beside.submit(update, *pieces))
        if len(waiting) > _AHEAD:
            waiting.popleft().result()

    with ThreadPoolExecutor(1) as beside:
        yield put


@contextmanager
def _written_meanwhile(file: IO[bytes]) -> Iterator[None]:
    """Have the disk write what there is, all the time, not in the end alone."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(_PAUSE):
            os.fdatasync(file.fileno())

    with ThreadPoolExecutor(1) as beside:
        writing = beside.submit(write)
        try:
            yield
        finally:
            done.set()
        # A disk that could not write says so once.
        writing.result()
