# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks may have lost their content in a crash of the server's kernel.

Chunks are named before they are synced: fsync for each would make a backup several times slower.
If the process dies, nothing is lost, the kernel has it. If the kernel dies, a file can have its
name without its content. So each chunk gets a mark, an empty file, before it gets its name, and
loses it after the next sync of the file system: journals keep that order. The marks lie in a
folder named by the kernel's boot, so no clock decides: those of an earlier boot are of suspects,
which are read before anybody is told "I have it".
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SyncMarks:
    """The marks below one folder, which must be on the chunks' file system. Safe in threads."""

    def __init__(self, root: Path, boot_id: str) -> None:
        """Read the marks; ``root`` is made if need be."""
        self._own = root / boot_id
        self._own.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._unsynced = {mark.name for mark in self._own.iterdir()}
        self._suspects = {
            mark.name: mark for boot in root.iterdir() if boot != self._own for mark in _marks(boot)
        }

    @property
    def dirty(self) -> bool:
        """Whether a chunk was named since the last sync."""
        return bool(self._unsynced)

    def suspect(self, digest: str) -> bool:
        """Whether a chunk has to be read before it counts."""
        return digest in self._suspects

    def clear(self, digest: str) -> None:
        """A suspect was read and is sound, or another file takes its place."""
        mark = self._suspects.pop(digest, None)
        if mark is not None:
            mark.unlink(missing_ok=True)

    @contextmanager
    def naming(self, digest: str) -> Iterator[None]:
        """Mark a chunk; in the block it gets its name. No sync begins in between."""
        with self._lock:
            os.close(os.open(self._own / digest, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
            self._unsynced.add(digest)
            yield
        self.clear(digest)

    def begin(self) -> set[str]:
        """The chunks that a sync which begins now covers."""
        with self._lock:
            covered, self._unsynced = self._unsynced, set()
        return covered

    def synced(self, covered: set[str]) -> None:
        """The sync succeeded. What was named anew meanwhile keeps its mark."""
        with self._lock:
            for digest in covered - self._unsynced:
                (self._own / digest).unlink(missing_ok=True)

    def distrust(self, covered: set[str]) -> None:
        """The sync failed: what it was to cover may not be on the disk."""
        aside = self._own.with_name(f"failed-{secrets.token_hex(8)}")
        with self._lock:
            covered -= self._unsynced
            self._suspects |= {digest: aside / digest for digest in covered}
            # A disk that takes no names either leaves the marks where they are.
            with suppress(OSError):
                aside.mkdir(mode=0o750)
                for digest in covered:
                    (self._own / digest).rename(aside / digest)


def _marks(boot: Path) -> list[Path]:
    """The marks of another boot; a folder without any goes."""
    found = list(boot.iterdir())
    if not found:
        boot.rmdir()
    return found


def read_boot_id() -> str:
    """The kernel's id of this boot; the unit passes it, for its sandbox hides the file."""
    return os.environ.get("SLIPWAY_BOOT_ID") or _BOOT_ID.read_text(encoding="ascii").strip()
