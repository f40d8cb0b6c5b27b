# SPDX-License-Identifier: GPL-3.0-or-later
"""Which card dnsmasq gave an address to: its file of leases, read anew when it changed.

Each line is ``EXPIRY MAC ADDRESS NAME CLIENT-ID``; EXPIRY is in seconds since the epoch, 0 is for
ever. A relay agent passes the PC's own card on, so this knows the cards behind routers, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

# Ten thousand leases are one megabyte.
_MAX_FILE = 4 << 20
# dnsmasq empties the file and writes it anew, in place, at every lease: in a moment it is whole.
_LOOKS, _LOOK_SECONDS = 10, 0.01
# Unchanged for so long, a file that ends with a line is whole; any other is what it is.
_QUIET_SECONDS, _LONG_QUIET_SECONDS = 0.05, 1.0
_Stamp = tuple[int, int, int]
# Other hardware than Ethernet has its type before the address: `06-aa:bb:...`.
_LEASE = re.compile(r"([0-9]{1,20}) ([0-9a-f]{2}(?::[0-9a-f]{2}){5}) ([0-9a-f.:]{2,45}) ")
_Lease = tuple[float, str]


class Leases:
    """All methods block for as long as a small file takes; callers run them in a thread."""

    def __init__(self, path: Path | None) -> None:
        """``path`` None: somebody else hands out addresses."""
        self._path = path
        self._stamp: _Stamp | None = None
        self._leases: dict[str, _Lease] = {}

    def card_of(self, address: str) -> str | None:
        """The card that has the lease of an address now."""
        self._read()
        ends, card = self._leases.get(address, (0.0, ""))
        return card if card and (ends == 0 or ends > time.time()) else None

    def addresses_of(self, cards: Iterable[str]) -> list[str]:
        """The addresses that these cards have leases of now."""
        self._read()
        now, wanted = time.time(), set(cards)
        return [
            address
            for address, (ends, card) in self._leases.items()
            if card in wanted and (ends == 0 or ends > now)
        ]

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            if self._stamp == _stamp(self._path):
                return
            text, stamp = _look(self._path)
        except OSError:
            # No file yet: no lease. One that can't be read proves nothing either.
            self._stamp, self._leases = None, {}
            return
        matches = (_LEASE.match(line) for line in text.splitlines())
        found = {each[3]: (float(each[1]), each[2]) for each in matches if each is not None}
        # Caught while it is written: what was known holds, each lease until its own end.
        self._leases = found if stamp is not None else {**self._leases, **found}
        self._stamp = stamp


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _look(path: Path) -> tuple[str, _Stamp | None]:
    """The file's text with its stamp; without one if it was being written at each look."""
    text = ""
    for _ in range(_LOOKS):
        before = _stamp(path)
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_FILE)
        quiet = abs(time.time() - before[0] / 1e9)
        enough = _QUIET_SECONDS if text.endswith("\n") else _LONG_QUIET_SECONDS
        if quiet >= enough and before == _stamp(path):
            return text, before
        time.sleep(_LOOK_SECONDS)
    return text, None
