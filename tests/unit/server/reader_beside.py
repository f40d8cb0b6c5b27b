# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks into images beside the service, started for each connection as systemd does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from .conftest import ROOT, Service

PROGRAMS = ("nbdkit", "nbdfuse", "qemu-img", "grub-fstest", "unshare", "setpriv")
# It starts namespaces and mounts in them.
POSSIBLE = os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))
_CODE = ("client_image/agent", "roles/image_server/files")


class Beside:
    """The socket, and a program for each who connects."""

    def __init__(self, service: Service, leave: int = 0) -> None:
        self.path = service.folder / "reader"
        self.spool = service.folder / "downloads"
        self.spool.mkdir(exist_ok=True)
        self.spool.chmod(0o750)
        self._argv = [
            *(sys.executable, "-P", "-m", "slipway_export", "answer"),
            *("--store", str(service.store), "--spool", str(self.spool), "--leave", str(leave)),
        ]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        code = ":".join(str(ROOT / each) for each in _CODE)
        with suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                with line:
                    environment = os.environ | {"PYTHONPATH": code}
                    subprocess.Popen(self._argv, stdin=line, env=environment)

    def close(self) -> None:
        """Take no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink()
