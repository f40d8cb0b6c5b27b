# SPDX-License-Identifier: GPL-3.0-or-later
"""Restored cells go past the page cache, but never in part of a page."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from slipway.engine.cells import Runs, aligned_buffer
from slipway.engine.devices import find_disk, open_read_only
from slipway.engine.target import Target
from slipway.format import Disk, Identity, Table

from .disk_builder import FILL, MIB, attached, filled

SIZE = 16 * MIB


@contextmanager
def target(path: Path, sector: int) -> Iterator[Target]:
    """A target behind a loop device: in its file only what left the cache is seen."""
    image = Disk("disk0", Identity(), SIZE, sector, sector, Table("none"), ())
    with attached(path, sector) as device:
        disk = find_disk(device)
        with open_read_only(disk) as handle, closing(Target(disk, image, handle)) as made:
            yield made


def holds(path: Path, offset: int, size: int) -> bool:
    """Whether the file has the new bytes there, all of them."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size) == b"\x5a" * size


@pytest.mark.parametrize(
    ("sector", "offset", "runs", "direct"),
    [
        (512, 4 * MIB, [(0, 2 * MIB)], True),
        (4096, 4 * MIB, [(0, 2 * MIB)], True),
        (512, 4 * MIB, [(4096, 256 << 10), (512 << 10, MIB)], True),
        # A partition that begins at sector 63, as on old disks: two cells share a page.
        (512, 4 * MIB + 63 * 512, [(0, 2 * MIB)], False),
        (512, 4 * MIB, [(0, 2 * MIB - 512)], False),
        # Many small runs: the page cache joins them.
        (512, 4 * MIB, [(start, start + 4096) for start in range(0, MIB, 16384)], False),
    ],
)
def test_which_cells_go_past_the_cache(
    room: Path, sector: int, offset: int, runs: Runs, direct: bool
) -> None:
    """Those of few whole pages; all of them are on the disk after a flush, and nothing else."""
    path = filled(room / "target", SIZE)
    content = aligned_buffer(2 * MIB)
    content[:] = b"\x5a" * len(content)
    with target(path, sector) as writer:
        written = writer.write_cell(content, offset, runs)
        assert written == sum(end - start for start, end in runs)
        assert all(holds(path, offset + a, b - a) for a, b in runs) is direct
        writer.flush()
        expected = bytearray([FILL]) * SIZE
        # The mark of the old table is cleared before anything else.
        expected[:sector] = bytes(sector)
        for start, end in runs:
            expected[offset + start : offset + end] = b"\x5a" * (end - start)
        assert path.read_bytes() == expected
