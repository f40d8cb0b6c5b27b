# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of DVDs of an image, beside a durable copy of the same chunks on the same disk.

Each begins with files that are not in memory, as those of a store are whose image is a month old.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..storage.disk_builder import MIB, attached, sh
from ..storage.media_sets import BUILDER, command
from ..unit.server.conftest import Service
from .disks import build_disk
from .results import Results
from .room import NoRoom
from .tools import Cost, Slipway, measured, timed

CASE = "media"
# The disk, its store, and one copy of that: what is read is never what was written last.
_TIMES = 4
_COPY = "xargs -a $LIST cp --parents -t $PLACE && sync --file-system $PLACE"
# As large as those of the imaging environment, and as hard to pack.
_ENVIRONMENT = {"vmlinuz": 8 * MIB, "initrd.img": 66 * MIB}


class Media:
    """An image of so many used bytes in a store on a disk."""

    def __init__(self, folder: Path, tree: Path, size: int) -> None:
        """Save the files below `tree` into a store in `folder`."""
        self._folder, self._store = folder, folder / "store"
        disk = folder / "source.img"
        build_disk(disk, tree, size)
        with attached(disk) as device:
            Slipway(["--store", str(self._store)], self._store).save(device, CASE)
        disk.unlink()
        self._chunks = sorted((self._store / "chunks").rglob("?" * 64))
        (folder / "list").write_text("".join(f"{path}\n" for path in self._chunks))
        (folder / "env").mkdir()
        for name, length in _ENVIRONMENT.items():
            (folder / "env" / name).write_bytes(os.urandom(length))
        (folder / "service").mkdir()
        self._service = Service(folder / "service", store_dir=str(self._store))
        self._check()

    def run(self, results: Results, say: Callable[[str], None], turn: int) -> None:
        """Copy and make once each, another first in each turn."""
        ways: list[tuple[str, Callable[[], Cost]]] = [
            ("copy", self._copy),
            ("slipway", self._make),
            ("served", self._make_served),
            ("proving", self._make_proving),
        ]
        first = turn % len(ways)
        for tool, work in ways[first:] + ways[:first]:
            self._forget_pages()
            cost = work()
            results.add(CASE, tool, cost)
            say(f"{CASE:16} {tool:11} {cost.seconds:7.2f} s, processor {cost.cpu:7.2f} s")

    def _check(self) -> None:
        """Let the service read every chunk."""
        self._service.start()
        [version] = (self._store / "images/pc").iterdir()
        path = f"/v1/images/pc/{version.stem}/check"
        assert self._service.admin.post(path, timeout=None).json()["state"] == "sound"
        self._service.stop()

    def _copy(self) -> Cost:
        place = self._folder / "copy"
        place.mkdir()
        values = {"LIST": str(self._folder / "list"), "PLACE": str(place)}
        cost = timed(_COPY, self._folder, values)
        shutil.rmtree(place)
        return replace(cost, bytes=sum(path.stat().st_size for path in self._chunks))

    def _make(self, *words: object) -> Cost:
        place, words = self._folder / "media", ("--image", "pc", "--medium", "dvd", *words)
        argv = command(self._store, self._folder / "env", place, *words)
        _, cost = measured(argv, os.environ | BUILDER)
        made = sum(path.stat().st_size for path in place.rglob("*.iso"))
        shutil.rmtree(place)
        return replace(cost, bytes=made)

    def _make_served(self) -> Cost:
        """On an image server, whose service remembers what the store does not."""
        self._service.start()
        try:
            return self._make_proving("--socket", self._service.folder / "maker")
        finally:
            self._service.stop()

    def _make_proving(self, *words: object) -> Cost:
        """The same with a store that remembers nothing: every chunk is unpacked and hashed."""
        kept = self._store / "sound"
        kept.rename(self._folder / "sound")
        try:
            return self._make(*words)
        finally:
            (self._folder / "sound").rename(kept)

    def _forget_pages(self) -> None:
        sh("sync", "--file-system", self._folder)
        for path in self._chunks:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def disk_folder(place: Path, size: int) -> Iterator[Path]:
    """A folder on a disk with room for a bench of `size` used bytes, gone afterwards."""
    free = shutil.disk_usage(place).free
    if free < _TIMES * size:
        raise NoRoom(
            f"the media of {size >> 20} MiB take about {_TIMES * size >> 20} MiB below {place}, "
            f"{free >> 20} MiB are free: try MEDIA={max(free // _TIMES >> 20, 1)}M, or other CASES"
        )
    with tempfile.TemporaryDirectory(prefix="slipway-bench-", dir=place) as folder:
        yield Path(folder)
