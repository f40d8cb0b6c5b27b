# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control service remembers of chunks: a file that was proven lately needs no new proof.

Nothing depends on it. Where there is no service, or an older one, or one that fails or says what
can't be meant, nothing that it said is believed, and every chunk is proven.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slipway.net.unix_socket import UnixConnection

# As many as the service takes in one question, and more bytes than its answer needs.
AT_ONCE = 4096
_LONGEST = AT_ONCE << 8
_SECONDS = 30.0
_FAULTS = (OSError, http.client.HTTPException, ValueError, RecursionError)


class File(NamedTuple):
    """A chunk's file when it was proven; one that is like that is the same, and was not changed."""

    size: int
    mtime_ns: int
    ino: int


def ask(service: Path, sizes: Mapping[str, int]) -> dict[str, File]:
    """The files of these chunks that the service behind a socket knows to be sound.

    `sizes`: of their contents, by digest. Empty where it is not to be believed; never an error.
    """
    digests, connection = list(sizes), UnixConnection(service, _SECONDS)
    try:
        parts = (digests[start : start + AT_ONCE] for start in range(0, len(digests), AT_ONCE))
        found = (pair for part in parts for pair in _answer(connection, part))
        return {digest: file for digest, (size, file) in found if size == sizes[digest]}
    except _FAULTS:
        return {}
    finally:
        connection.close()


def is_as_it_was(path: Path, file: File | None) -> bool:
    """Whether a file is the one that was proven. None: none was."""
    if file is None:
        return False
    try:
        found = path.stat()
    except OSError:
        return False
    return file == (found.st_size, found.st_mtime_ns, found.st_ino)


def _answer(
    connection: UnixConnection, asked: Sequence[str]
) -> Iterator[tuple[str, tuple[int, File]]]:
    """Each chunk that is known, the size of its content, and its file. ValueError: nonsense."""
    body, headers = json.dumps({"digests": asked}), {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chunks/sound", body, headers)
    answer = connection.getresponse()
    text = answer.read(_LONGEST + 1)
    said = json.loads(text) if answer.status == http.client.OK else None
    known = said.get("sound") if isinstance(said, dict) else None
    if not isinstance(known, list):
        raise ValueError("no answer to this question")
    names = set(asked)
    for each in known:
        digest = each.get("digest") if isinstance(each, dict) else None
        if not isinstance(digest, str) or digest not in names:
            raise ValueError("a chunk that nobody asked about")
        amounts = [each.get(key) for key in ("content_size", *File._fields)]
        if not all(type(amount) is int for amount in amounts):
            raise ValueError("no amounts")
        yield digest, (amounts[0], File(*amounts[1:]))
