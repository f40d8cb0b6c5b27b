"""Which chunks may have lost their content in a crash of the server's kernel.

Chunks are named before they are synced: fsync for each would make a backup several times slower.
If the process dies, nothing is lost, the kernel has it. If the kernel dies, a file can have its
name without its content. So the service notes when it last synced the file system; after a boot,
chunks written since that moment are suspects and are read before anybody is told "I have it".
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from . import files

log = logging.getLogger(__name__)

# A chunk's mtime is taken a moment before its rename, which the sync may have missed.
_MARGIN = 60.0
_MAX_WINDOWS = 8
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SyncMarks:
    """The suspect windows of time, kept in one small JSON file."""

    def __init__(self, path: Path, boot_id: str, now: float) -> None:
        """Read the file; after a boot, or without a file, open a suspect window up to now."""
        self._path = path
        self._boot_id = boot_id
        self._windows: list[tuple[float, float]] = []
        synced_at, same_boot = 0.0, False
        try:
            kept = json.loads(path.read_text(encoding="ascii"))
            synced_at, same_boot = float(kept["synced_at"]), kept["boot_id"] == boot_id
            self._windows = [(float(low), float(high)) for low, high in kept["windows"]]
        except (OSError, ValueError, KeyError, TypeError):
            # Nothing is known, so everything is suspect. Reading a chunk clears it.
            self._windows = []
        self._synced_at = synced_at
        if not same_boot:
            self.distrust(now)
            try:
                self.synced(now)
            except OSError as error:
                # A full disk: all stays suspect, and the next sync tries again.
                log.warning("%s can't be written: %s", path, error.strerror)

    def suspect(self, mtime: float) -> bool:
        """Whether a chunk of that age has to be read before it counts."""
        return any(low <= mtime <= high for low, high in self._windows)

    def distrust(self, now: float) -> None:
        """What was written since the last sync may not have reached the disk."""
        self._windows.append((self._synced_at - _MARGIN, max(now, self._synced_at)))
        if len(self._windows) > _MAX_WINDOWS:
            first, second = self._windows[:2]
            self._windows[:2] = [(min(first[0], second[0]), max(first[1], second[1]))]

    def synced(self, began: float) -> None:
        """Everything named before ``began`` has reached the disk."""
        self._synced_at = began
        kept = {"boot_id": self._boot_id, "synced_at": began, "windows": self._windows}
        files.write_durably(self._path.parent, json.dumps(kept).encode("ascii"), self._path)


def read_boot_id() -> str:
    """The kernel's id of this boot; the unit passes it, for its sandbox hides the file."""
    return os.environ.get("SLIPWAY_BOOT_ID") or _BOOT_ID.read_text(encoding="ascii").strip()
