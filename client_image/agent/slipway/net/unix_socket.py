# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over a unix socket: what runs on the image server asks its control service this way."""

from __future__ import annotations

import http.client
import os
import socket


class UnixConnection(http.client.HTTPConnection):
    """One connection; each step may take so many seconds."""

    def __init__(self, path: str | os.PathLike[str], seconds: float) -> None:
        """Nothing is opened yet."""
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))
