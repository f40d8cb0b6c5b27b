# SPDX-License-Identifier: GPL-3.0-or-later
"""Room that the service keeps for its own state, so that it starts when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_BYTES = 8 << 20


class Ballast:
    """A file of nothing: dropped before the databases are opened, taken again afterwards."""

    def __init__(self, folder: Path) -> None:
        """Give up what an earlier process took; ``folder`` must exist."""
        self._path = folder / "ballast"
        self._path.unlink(missing_ok=True)

    def take(self) -> None:
        """Take it if it is not there and the disk has room; it is no failure if not."""
        if self._path.exists():
            return
        with suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, _BYTES)
            except OSError:
                self._path.unlink()
            finally:
                os.close(handle)
