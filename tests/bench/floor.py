# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor: SHA-256, and zstd or not, over the used bytes on all cores, and nothing else.

Run as `python -m tests.bench.floor DEVICE RANGES WORK`, where WORK is `read`, `hash` or a zstd
level. RANGES is a JSON file. Bytes come past the page cache, which is the fastest way to get them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import zstandard
from slipway.engine.cells import aligned_buffer

CELL = 2 << 20


def main() -> None:
    device, ranges, work = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
    pieces = iter(_pieces(ranges))
    lock = threading.Lock()
    handle = os.open(device, os.O_RDONLY | os.O_DIRECT)

    def loop() -> None:
        buffer = aligned_buffer(CELL)
        packer = zstandard.ZstdCompressor(level=int(work)) if work.isdigit() else None
        while True:
            with lock:
                piece = next(pieces, None)
            if piece is None:
                return
            offset, size = piece
            assert os.preadv(handle, [buffer[:size]], offset) == size
            if work != "read":
                hashlib.sha256(buffer[:size]).digest()
            if packer is not None:
                packer.compress(buffer[:size])

    count = len(os.sched_getaffinity(0)) if work != "read" else 1
    threads = [threading.Thread(target=loop) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pieces(ranges: list[list[int]]) -> list[tuple[int, int]]:
    return [
        (offset, min(CELL, end - offset))
        for start, end in ranges
        for offset in range(start, end, CELL)
    ]


if __name__ == "__main__":
    main()
