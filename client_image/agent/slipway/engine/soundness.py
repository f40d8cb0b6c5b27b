"""What a folder store remembers about versions whose every chunk was sound.

Reading an image through takes as long as restoring it. A version that was read through lately, or
was written by the backup that made it, needs only the look that no file has changed since: size,
both times and inode of each. A flipped bit that left no trace in them is still found when the
chunk is unpacked. Losing these files costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

_TRUSTED = 7 * 86400.0


class Look:
    """One pass over the chunks of a version, file by file, without reading any."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._hash = hashlib.sha256()
        self.bytes = 0

    def add(self, digest: str, found: os.stat_result) -> None:
        """Take a chunk's file into account."""
        self.bytes += found.st_size
        facts = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        self._hash.update(f"{digest} {facts}\n".encode("ascii"))

    @property
    def seal(self) -> str:
        """The same as long as no file was written, replaced or added."""
        return self._hash.hexdigest()


def remember(note: Path, seal: str) -> None:
    """Note that all chunks are sound. A store that can't be written goes without."""
    draft = note.with_name(f"{note.name}.new")
    with suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        draft.write_text(json.dumps({"at": time.time(), "seal": seal}), encoding="ascii")
        draft.replace(note)


def recalled(note: Path, seal: str) -> bool:
    """Whether the same files were found sound during the last seven days."""
    try:
        kept = json.loads(note.read_bytes())
        return kept["seal"] == seal and 0 <= time.time() - float(kept["at"]) < _TRUSTED
    except (OSError, ValueError, KeyError, TypeError):
        return False
