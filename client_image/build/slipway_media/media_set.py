# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a set of media as a plan says, and proving what was made."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.engine.errors import ImageDamaged
from slipway.engine.folder_store import FolderStore
from slipway.engine.parallel import cores, parallel
from slipway.engine.store import fetch_content
from slipway.format import MAX_CELL

from slipway_media import iso
from slipway_media.errors import MediaError
from slipway_media.plan import Plan, fill_tree


def make(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Write the discs into a folder; return file, label, bytes and digest of each."""
    discs = []
    for number, disc in enumerate(plan.discs, 1):
        target, about = folder / plan.file(number), plan.about(number)
        chunks = [plan.chunks[at] for at in disc.positions()]
        with (
            _checked(plan, chunks),
            tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as work,
        ):
            tree = Path(work) / "tree"
            fill_tree(plan, tree, Path(work), number)
            iso.write(target, tree, about.labels[number - 1], chunks, number == 1, Path(work))
        size = target.stat().st_size
        if plan.limit and size > plan.limit:
            raise MediaError(
                f"{target.name} has {size} bytes, and the medium takes {plan.limit}.",
                "Say a smaller number of bytes for the medium, and report this.",
            )
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        label = about.labels[number - 1]
        discs.append({"file": target.name, "label": label, "bytes": size, "sha256": digest})
    return discs


@contextmanager
def _checked(plan: Plan, chunks: list[iso.Chunk]) -> Iterator[None]:
    """Check chunks while a disc is written: what one reads from the disk, the other finds read.

    Why a chunk is not sound comes before why the disc could not be written.
    """
    with ThreadPoolExecutor(1) as beside:
        proof = beside.submit(_check, plan, chunks)
        try:
            yield
        finally:
            proof.result()


def _check(plan: Plan, chunks: list[iso.Chunk]) -> None:
    """Raise unless each chunk is sound: where a medium goes, nobody can fetch another one."""
    store, sizes = FolderStore(plan.order.store), dict(plan.manifest.chunks())

    def worker() -> Callable[[iso.Chunk], None]:
        buffer = memoryview(bytearray(MAX_CELL))

        def look(chunk: iso.Chunk) -> None:
            try:
                fetch_content(store, chunk.digest, sizes[chunk.digest], buffer)
            except ImageDamaged as error:
                raise MediaError(
                    f"{plan.manifest.name}@{plan.manifest.version} can't be put on media: "
                    f"{error.message}.",
                    "Choose another version.",
                ) from error

        return look

    parallel(chunks, worker, cores())
