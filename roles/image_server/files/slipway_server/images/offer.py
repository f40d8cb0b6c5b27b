# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest that a client offers for publishing: read by another process, see `manifest_reader`.

Only what the service needs of it comes back: the image's name, the names of its chunks, and, once
the version is decided, the file's bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

from ..base.errors import ServiceError

# Of the largest that is taken, 128 MiB of used map need six times their size and a minute.
_MEMORY_FOR_EACH_BYTE = 7
_MEMORY_BYTES = 192 << 20
_SECONDS = 300
_PIECE = 1 << 20
_DIGEST = 32


class Halt:
    """Ends the process of an offer that nobody waits for any more, be it yet to begin."""

    def __init__(self) -> None:
        """Nothing to end yet."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._over = False

    def begun(self, process: subprocess.Popen[bytes]) -> None:
        """Take the process."""
        with self._lock:
            self._process = process
            if self._over:
                process.kill()

    def now(self) -> None:
        """End it; who reads from it sees its end."""
        with self._lock:
            self._over = True
            if self._process is not None:
                self._process.kill()


class Offer:
    """One manifest under way. All methods block; leaving the context ends the process."""

    def __init__(self, body: IO[bytes], largest: int, halt: Halt | None = None) -> None:
        """Read what the open file ``body`` holds, at most ``largest`` bytes.

        ServiceError ``bad_manifest`` when it is none, ``publish_failed`` when reading it took too
        long or ended the reader.
        """
        body.seek(0)
        limits = (largest * _MEMORY_FOR_EACH_BYTE + _MEMORY_BYTES, _SECONDS)
        self._reader = subprocess.Popen(
            [sys.executable, "-P", "-m", "slipway_server.images.manifest_reader",
             *map(str, (body.fileno(), *limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(body.fileno(),),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        if halt is not None:
            halt.begun(self._reader)
        self._deadline = threading.Timer(_SECONDS, self._reader.kill)
        self._deadline.start()
        try:
            said = self._hear()
            self.name = str(said["name"])
            # Of a version that is one elsewhere; empty for a new one.
            self.version, self.created = str(said["version"]), str(said["created"])
            self._digests = self._take(int(said["digests"]) * _DIGEST)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def digests(self) -> Iterator[str]:
        """Names of its chunks, each once."""
        for start in range(0, len(self._digests), _DIGEST):
            yield self._digests[start : start + _DIGEST].hex()

    def stamped(self, version: str, created: str, stored_bytes: int) -> Iterator[bytes]:
        """The bytes of the version's file, piece by piece."""
        stamp = {"version": version, "created": created, "stored_bytes": stored_bytes}
        try:
            self._stdin.write(json.dumps(stamp).encode("ascii") + b"\n")
            self._stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        left = int(self._hear()["bytes"])
        while left:
            piece = self._take(min(left, _PIECE))
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """End the process, however far it is."""
        self._deadline.cancel()
        self._reader.kill()
        self._reader.wait()
        for pipe in (self._reader.stdin, self._reader.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _hear(self) -> dict[str, Any]:
        line = self._stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise ServiceError("bad_manifest", f"The manifest was refused: {said['error']}.")
        return said

    def _take(self, size: int) -> bytes:
        taken = self._stdout.read(size)
        if len(taken) != size:
            raise self._ended()
        return taken

    def _ended(self) -> ServiceError:
        code = self._reader.wait()
        how = f"signal {-code}" if code < 0 else f"code {code}"
        return ServiceError(
            "publish_failed", f"The process that read the manifest was ended by {how}."
        )

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._reader.stdin is not None
        return self._reader.stdin

    @property
    def _stdout(self) -> BinaryIO | IO[bytes]:
        assert self._reader.stdout is not None
        return self._reader.stdout
