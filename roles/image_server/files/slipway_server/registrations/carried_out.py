# SPDX-License-Identifier: GPL-3.0-or-later
"""Where controller and server are one machine: a file that has decisions carried out.

systemd waits for it and starts one fixed command, ``register.yml -e approve=decided``. The file
says nothing: what is approved stands in the registrations.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class CarriedOut:
    """Blocks for as long as a file takes to be made; callers run it in a thread."""

    def __init__(self, path: Path | None) -> None:
        """``path`` None: somebody runs the playbook on the controller."""
        self._path = path

    def ask(self) -> None:
        """Have what was decided carried out. A full disk costs that, and not the decision."""
        if self._path is None:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(self._path, flags, 0o600))
        except OSError as error:
            log.error("nothing starts register.yml: %s can't be made: %s", self._path, error)
