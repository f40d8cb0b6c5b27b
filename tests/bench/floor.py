"""The floor: SHA-256 and zstd over the used bytes on all cores, and nothing else.

Run as `python -m bench.floor DEVICE RANGES LEVEL`; level 0 only reads. RANGES is a JSON file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import zstandard

CELL = 2 << 20


def main() -> None:
    device, ranges, level = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
    pieces = iter(_pieces(ranges))
    lock = threading.Lock()
    handle = os.open(device, os.O_RDONLY)

    def work() -> None:
        buffer = memoryview(bytearray(CELL))
        packer = zstandard.ZstdCompressor(level=int(level)) if level != "0" else None
        while True:
            with lock:
                piece = next(pieces, None)
            if piece is None:
                return
            offset, size = piece
            assert os.preadv(handle, [buffer[:size]], offset) == size
            if packer is not None:
                hashlib.sha256(buffer[:size]).digest()
                packer.compress(buffer[:size])

    count = len(os.sched_getaffinity(0)) if level != "0" else 1
    threads = [threading.Thread(target=work) for _ in range(count)]
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
