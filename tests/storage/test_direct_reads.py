# SPDX-License-Identifier: GPL-3.0-or-later
"""Cells are read past the page cache, to the sector, and through it where that does not work."""

import fcntl
import os
import random
from pathlib import Path

import pytest
from slipway.engine.cells import aligned_buffer, read_cell
from slipway.engine.devices import find_disk, open_read_only
from slipway.engine.direct import cell_reader

from .disk_builder import MIB, attached

SIZE = 8 * MIB


@pytest.mark.parametrize("sector", [512, 4096])
def test_cells_are_read_past_the_cache(room: Path, sector: int) -> None:
    """Used ranges may begin and end at any sector; what lies between them reads as zeros."""
    path = room / "source"
    content = random.Random(1).randbytes(SIZE)
    path.write_bytes(content)
    far = MIB + 5 * sector
    runs = [(sector, 4 * sector), (7 * sector, 8 * sector), (far, far + sector)]
    expected = bytearray(2 * MIB)
    offset = 3 * sector
    for start, end in runs:
        expected[start:end] = content[offset + start : offset + end]
    buffer = aligned_buffer(2 * MIB)
    buffer[:] = b"\x5a" * len(buffer)
    with attached(path, sector) as device:
        disk = find_disk(device)
        with open_read_only(disk) as handle, cell_reader(disk, handle) as reader:
            assert fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_DIRECT
            read_cell(reader, buffer, offset, runs)
    assert buffer == expected


def test_what_was_just_written_through_the_cache_is_read(room: Path) -> None:
    """A disk that another program has written a moment ago is saved as it is now."""
    path = room / "source"
    path.write_bytes(bytes(SIZE))
    buffer = aligned_buffer(2 * MIB)
    with attached(path) as device:
        disk = find_disk(device)
        with device.open("r+b") as file:
            file.write(b"\x5a" * MIB)
        with open_read_only(disk) as handle, cell_reader(disk, handle) as reader:
            read_cell(reader, buffer, 0, [(0, 2 * MIB)])
    assert buffer == b"\x5a" * MIB + bytes(MIB)


def test_without_direct_reads_the_cache_serves(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that refuses is read as ever."""
    path = room / "source"
    path.write_bytes(bytes(SIZE))
    real = os.open

    def no_direct(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError("no")
        return real(path, flags, mode)

    with attached(path) as device:
        disk = find_disk(device)
        with open_read_only(disk) as handle:
            monkeypatch.setattr(os, "open", no_direct)
            with cell_reader(disk, handle) as reader:
                assert reader == handle
