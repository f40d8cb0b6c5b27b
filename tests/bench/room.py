# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory to work in: a tmpfs of its own, after a look whether there is room."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..storage.disk_builder import sh

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Three disks, a target of one and a half times their content, a store, one peer's image, and
# the page cache of what is being read.
_TIMES = 7


class NoRoom(Exception):
    """The bench does not fit into this machine's free memory."""


def parse_size(text: str) -> int:
    """Bytes of `2G`, `512M` or `2GiB`."""
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or not int(found[1]):
        raise NoRoom(f"SIZE={text} is no size: write SIZE=2G or SIZE=512M")
    return int(found[1]) * _UNITS[found[2].upper()]


@contextmanager
def memory_folder(size: int) -> Iterator[Path]:
    """A tmpfs with room for a bench of `size` used bytes, gone afterwards."""
    free = _available()
    if free < _TIMES * size:
        raise NoRoom(
            f"SIZE={size >> 20}M takes about {_TIMES * size >> 20} MiB of memory, "
            f"{free >> 20} MiB are free: try SIZE={max(free // _TIMES >> 20, 1)}M"
        )
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        sh("mount", "-t", "tmpfs", "-o", f"size={_TIMES * size},mode=0755", "slipway-bench", folder)
        try:
            Path(folder).chmod(0o755)
            yield Path(folder)
        finally:
            # A pipeline that was stopped half-way may hold a file for a moment longer.
            sh("umount", "--lazy", folder)


def _available() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.findall(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)[0]) << 10
