# SPDX-License-Identifier: GPL-3.0-or-later
"""Cell size, level and threads: what reading, hashing and packing a disk takes with each.

Run as `python -m tests.bench.grid SIZE`, as root; prints the rows of the table in README.md.
Seconds of processor time are what counts on a machine that does other things as well.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slipway.engine.cells import digest_of_cell, read_cell
from slipway.engine.parallel import parallel
from slipway.format import Extents, make_frame

from ..storage.disk_builder import attached
from .disks import MIB, Disks
from .room import memory_folder, parse_size

CELLS, LEVELS, THREADS = (1, 2, 4), (1, 3, 6), (1, 2, 4)


def main() -> None:
    size = parse_size(sys.argv[1])
    with memory_folder(size) as memory:
        disks = Disks(memory, Path("/usr"), size)
        used = Extents.of([(start, end) for start, end in disks.used(disks.source)])
        print(f"{used.total >> 20} MiB used")
        print("| cell | level | threads | MB/s | processor MB/s | stored |\n|--|--|--|--|--|--|")
        with attached(disks.source) as device:
            for cell in CELLS:
                for level in LEVELS:
                    for threads in THREADS:
                        print(_row(device, used, cell, level, threads), flush=True)


def _row(device: Path, used: Extents, cell: int, level: int, threads: int) -> str:
    handle = os.open(device, os.O_RDONLY)
    began, worked = time.monotonic(), time.process_time()
    stored = _pack(handle, used, cell * MIB, level, threads)
    took, worked = time.monotonic() - began, time.process_time() - worked
    os.close(handle)
    speeds = " | ".join(f"{used.total / 1e6 / each:.0f}" for each in (took, worked))
    return f"| {cell} MiB | {level} | {threads} | {speeds} | {stored / used.total:.4f} |"


def _pack(handle: int, used: Extents, cell: int, level: int, threads: int) -> int:
    stored: list[int] = []

    def worker() -> Callable[[int], None]:
        buffer = memoryview(bytearray(cell))

        def work(number: int) -> None:
            start = number * cell
            runs = [(a - start, b - start) for a, b in used.within(start, start + cell)]
            read_cell(handle, buffer, start, runs)
            digest_of_cell(buffer)
            stored.append(len(make_frame(buffer, level)))

        return work

    parallel(used.cells(cell), worker, threads)
    return sum(stored)


if __name__ == "__main__":
    main()
