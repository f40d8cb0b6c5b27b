# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own that reads one manifest which nobody vouches for: see `offer`.

Whatever such a manifest costs, it costs this process: its memory and its time are bounded, and
the kernel, when short of memory, ends it first.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from slipway.format.codec import parse, serialize
from slipway.format.errors import FormatError
from slipway.format.units import size

_OOM_SCORE = Path("/proc/self/oom_score_adj")
_PIECE = 1 << 20


def main(body: int, memory_bytes: int, cpu_seconds: int) -> int:
    """Read the manifest behind the descriptor ``body``; then answer on standard output.

    First a line: ``{"name", "version", "created", "digests"}`` and so many packed digests, or
    ``{"error"}``. Then, for the stamp that comes as a line on standard input, a line ``{"bytes"}``
    and the file's bytes.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")
    out = sys.stdout.buffer
    try:
        with open(body, "rb", closefd=False) as file:
            manifest = parse(file.read())
        names = {
            segment.digests[start : start + 32]
            for segment in manifest.segments()
            for start in range(0, len(segment.digests), 32)
        }
        _say(
            out,
            {
                "name": manifest.name,
                "version": manifest.version,
                "created": manifest.created,
                "digests": len(names),
            },
        )
        out.writelines(names)
        del names
        out.flush()
        if not (line := sys.stdin.buffer.readline()):
            return 0
        data = memoryview(serialize(manifest.stamped(**json.loads(line))))
    except FormatError as error:
        _say(out, {"error": str(error)})
        return 0
    except MemoryError:
        _say(out, {"error": f"reading it takes more than {size(memory_bytes)} of memory"})
        return 0
    _say(out, {"bytes": len(data)})
    for start in range(0, len(data), _PIECE):
        out.write(data[start : start + _PIECE])
    out.flush()
    return 0


def _say(out: BinaryIO, words: dict[str, Any]) -> None:
    out.write(json.dumps(words).encode("ascii") + b"\n")
    out.flush()


if __name__ == "__main__":
    # No clean-up of millions of objects: the kernel is quicker.
    os._exit(main(*map(int, sys.argv[1:])))
