# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible says is told to the control service as it comes, for whoever looks on."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Protocol

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

log = logging.getLogger(__name__)

_SECONDS = 1.0
# The service keeps no more of one job.
_LARGEST = 64 << 10


class Service(Protocol):
    """The control service, as the runner's socket offers it: `AdminApi`."""

    def job_says(self, identifier: str, text: str) -> object:
        """What came since."""


class Teller:
    """Tells of one job, at most once a second. What can't be told is lost: a file has all of it."""

    def __init__(self, service: Service, job_id: str) -> None:
        """Nothing is told before the with block."""
        self._service = service
        self._job_id = job_id
        self._text = ""
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name=f"tell {job_id}", daemon=True)

    def add(self, text: str) -> None:
        """Tell that soon."""
        with self._lock:
            self._text = (self._text + text)[-_LARGEST:]

    def __enter__(self) -> Teller:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell what is left, and end."""
        self._done.set()
        self._thread.join()

    def _tell(self) -> None:
        last = False
        while not last:
            last = self._done.wait(_SECONDS)
            with self._lock:
                text, self._text = self._text, ""
            if text:
                try:
                    self._service.job_says(self._job_id, text)
                except SlipwayError as error:
                    log.info("job %s: its output was not told: %s", self._job_id, error)
