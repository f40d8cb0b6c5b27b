# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over a socket of the service or the page, as nginx speaks it to them."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path


class UnixLine(http.client.HTTPConnection):
    """One connection."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        super().__init__("server")
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))
