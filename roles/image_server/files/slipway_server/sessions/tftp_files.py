# SPDX-License-Identifier: GPL-3.0-or-later
"""Pending sessions as files, for boot loaders that can read nothing but TFTP.

GRUB under Secure Boot has no HTTP, so it can't ask this service. Instead it reads
``<mac>.cfg`` from a folder that TFTP serves. Such a file is there exactly while a session of that
MAC is pending, and only says what the imaging environment is booted with: what to do with it
stands in GRUB's own configuration, so that this service never writes a script. Whoever asks TFTP
for it gets it: it names the session and holds no secret, and at check-in the address is looked at.

The folder lies in memory and goes with the service, however that ends: then a PC finds no file
and shows its menu, as it does when the web server has no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..base import files
from .session import Session

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_SESSION_ID = re.compile(r"[0-9a-f]{16}\Z")


class TftpFiles:
    """The folder of those files; without a folder nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        """Remove what an earlier process left: a file that nobody stands behind is a lie."""
        self._folder = folder
        self._shown: dict[str, str] = {}
        if folder is not None:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            for left in folder.iterdir():
                left.unlink()

    def show(self, sessions: Iterable[Session]) -> None:
        """Make the files those of the pending sessions among these.

        A file that can't be written is a ServiceError; what is written by then stays.
        """
        if self._folder is None:
            return
        try:
            self._show(self._folder, sessions)
        except OSError as error:
            raise files.as_service_error(error, "A pending session's file for TFTP") from error

    def _show(self, folder: Path, sessions: Iterable[Session]) -> None:
        wanted = {mac: item.id for item in sessions if item.awaits_boot for mac in item.macs}
        for mac in self._shown.keys() - wanted.keys():
            (folder / f"{mac}.cfg").unlink(missing_ok=True)
            del self._shown[mac]
        for mac, session_id in wanted.items():
            if self._shown.get(mac) != session_id:
                self._write(folder, mac, session_id)
                self._shown[mac] = session_id

    @staticmethod
    def _write(folder: Path, mac: str, session_id: str) -> None:
        """TFTP's own user reads it; a reader sees a whole file or none."""
        if not _MAC.match(mac) or not _SESSION_ID.match(session_id):
            raise ValueError(f"not a MAC address and a session: {mac!r}, {session_id!r}")
        text = f"set slw_wish='slipway.session={session_id}'\n"
        written = files.write_new(folder, text.encode(), sync=False)
        written.chmod(0o644)
        files.replace(written, folder / f"{mac}.cfg")
