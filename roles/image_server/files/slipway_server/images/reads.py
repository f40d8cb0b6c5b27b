# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading chunks through and remembering what was found."""

from __future__ import annotations

import time
from collections.abc import Iterable

from slipway.format.errors import FormatError
from slipway.format.frames import frame_facts

from .memory import Memory, Read
from .store import ChunkStore, Fingerprint

MISSING = "missing"
# A chunk, its file, and the size of its content, if that is known.
Wanted = tuple[str, Fingerprint, int | None]


def read_through(
    store: ChunkStore, memory: Memory, batch: Iterable[Wanted]
) -> tuple[int, list[tuple[str, str]]]:
    """Read chunks; return the bytes of their files, and what is wrong with which."""
    size, bad, reads = 0, [], []
    for digest, found, content_size in batch:
        size += found.size
        actual: int | None = None
        key: bytes | None = None
        try:
            actual, key = frame_facts(digest, store.path(digest).read_bytes())
            if content_size is not None and actual != content_size:
                bad.append((digest, f"holds {actual} bytes, its cell has {content_size}"))
        except FileNotFoundError:
            bad.append((digest, MISSING))
            continue
        except OSError as error:
            bad.append((digest, f"can't be read: {error.strerror}"))
        except FormatError as error:
            bad.append((digest, str(error)))
        reads.append(Read(digest, found, time.time(), actual, key))
    memory.remember(reads)
    return size, bad
