"""Which card dnsmasq gave an address to: its file of leases, read anew when it changed.

Each line is ``EXPIRY MAC ADDRESS NAME CLIENT-ID``; EXPIRY is in seconds since the epoch, 0 is for
ever. A relay agent passes the PC's own card on, so this knows the cards behind routers, too.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

# Ten thousand leases are one megabyte.
_MAX_FILE = 4 << 20
# dnsmasq empties the file and writes it anew, in place, at every lease: in a moment it is whole.
_LOOKS, _LOOK_SECONDS = 10, 0.01
# Other hardware than Ethernet has its type before the address: `06-aa:bb:...`.
_LEASE = re.compile(r"([0-9]{1,20}) ([0-9a-f]{2}(?::[0-9a-f]{2}){5}) ([0-9a-f.:]{2,45}) ")
_Lease = tuple[float, str]


class Leases:
    """All methods block for as long as a small file takes; callers run them in a thread."""

    def __init__(self, path: Path | None) -> None:
        """``path`` None: somebody else hands out addresses."""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._leases: dict[str, _Lease] = {}

    def card_of(self, address: str) -> str | None:
        """The card that has the lease of an address now."""
        self._read()
        ends, card = self._leases.get(address, (0.0, ""))
        return card if card and (ends == 0 or ends > time.time()) else None

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            text = _whole(self._path)
        except OSError:
            # No file yet: no lease. One that can't be read proves nothing either.
            self._stamp, self._leases = None, {}
            return
        found = (_LEASE.match(line) for line in text.splitlines())
        self._leases = {each[3]: (float(each[1]), each[2]) for each in found if each is not None}
        self._stamp = stamp


def _whole(path: Path) -> str:
    """The file's text, not as it is while it is written: then it is empty or ends in a line."""
    text = ""
    for _ in range(_LOOKS):
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_FILE)
        if text.endswith("\n"):
            break
        time.sleep(_LOOK_SECONDS)
    return text
