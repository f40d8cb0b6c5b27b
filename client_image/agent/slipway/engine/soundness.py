"""What a folder store remembers of chunks that were sound.

Reading an image through takes as long as restoring it. A chunk that was read through lately, or was
written by the run that remembers it, needs only the look that its file has not changed since: size,
both times and inode. A flipped bit that left no trace in them is still found when the chunk is
unpacked. Losing this file costs time, nothing else; FORMAT.md describes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_MAGIC = b"slipway sound 1\n"
# Digest, what its file looked like, when it was found sound (seconds since 1970).
_RECORD = struct.Struct("<32s16sd")
_TRUSTED = 7 * 86400.0


class Soundness:
    """The chunks that were found sound during the last seven days."""

    def __init__(self, path: Path) -> None:
        """Read the file; what can't be read counts as nothing."""
        self._path = path
        self._known = dict(_load(path))

    def knows(self, digest: str, found: os.stat_result) -> bool:
        """Whether this file was found sound, and is as it was then."""
        facts, at = self._known.get(bytes.fromhex(digest), (b"", 0.0))
        return facts == _facts(found) and 0 <= time.time() - at < _TRUSTED

    def remember(self, sound: Mapping[str, os.stat_result]) -> None:
        """Note chunks that are sound. A store that can't be written goes without."""
        now = time.time()
        fresh = {bytes.fromhex(each): (_facts(found), now) for each, found in sound.items()}
        # Another run may have written it meanwhile; what both lose is read once more.
        kept = dict(_load(self._path)) | fresh
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            draft.write_bytes(_MAGIC + b"".join(_records(kept, now - _TRUSTED)))
            draft.replace(self._path)
            self._known = kept


def _facts(found: os.stat_result) -> bytes:
    facts = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    return hashlib.blake2b(repr(facts).encode("ascii"), digest_size=16).digest()


def _records(known: Mapping[bytes, tuple[bytes, float]], since: float) -> Iterable[bytes]:
    return (_RECORD.pack(digest, facts, at) for digest, (facts, at) in known.items() if at > since)


def _load(path: Path) -> Iterator[tuple[bytes, tuple[bytes, float]]]:
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return
    records = memoryview(content)[len(_MAGIC) :]
    if content.startswith(_MAGIC) and len(records) % _RECORD.size == 0:
        for digest, facts, at in _RECORD.iter_unpack(records):
            yield digest, (facts, at)
