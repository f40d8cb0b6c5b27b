# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible says in each job: one file a job, bounded in size, number and age."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CUT = "\n... The rest of the output was not kept: it was longer than {} bytes.\n"
SUFFIX = ".txt"


class Output:
    """The output of one job, written as it comes so that it can be read meanwhile."""

    def __init__(
        self, path: Path, limit: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Begin the file anew; what is written is also told."""
        self._tell = tell
        self._limit = limit
        self._left = limit
        self._file = path.open("w", encoding="utf-8")
        path.chmod(0o640)

    def write(self, text: str) -> None:
        """Add lines; what acts on a terminal is taken out, and what is too much is cut off."""
        if not text or self._left < 0:
            return
        plain = _COLOURS.sub("", text).replace("\r\n", "\n")
        plain = "".join(char for char in plain if char.isprintable() or char in "\n\t") + "\n"
        data = plain.encode("utf-8", "replace")
        if len(data) > self._left:
            plain = data[: self._left].decode("utf-8", "ignore") + _CUT.format(self._limit)
        self._left -= len(data)
        self._file.write(plain)
        self._file.flush()
        self._tell(plain)

    def __enter__(self) -> Output:
        """Write within a with block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def tidy(folder: Path, days: int, files: int, now: Callable[[], float] = time.time) -> None:
    """Remove outputs that are too old, and the oldest of too many."""
    found = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    limit = now() - days * 86400
    surplus = found[: max(0, len(found) - files)]
    for path in found:
        if path in surplus or path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
