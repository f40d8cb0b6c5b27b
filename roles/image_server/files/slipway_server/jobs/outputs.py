# SPDX-License-Identifier: GPL-3.0-or-later
"""The last of what Ansible says in each job, for whoever looks on; the runner's files have all."""

from __future__ import annotations

from dataclasses import dataclass

# Of one job in characters, and so many jobs: with these it stays below 10 MB.
LARGEST = 64 << 10
MOST = 50


@dataclass
class _Said:
    text: str = ""
    # Whether the beginning is not here any more.
    cut: bool = False


class Outputs:
    """In memory: it is looked at while it comes. Belongs to the event loop."""

    def __init__(self) -> None:
        """Nobody has said anything."""
        self._said: dict[str, _Said] = {}

    def add(self, job: str, text: str) -> None:
        """Add what came; of too much the end is kept, of too many jobs those that spoke last."""
        said = self._said.pop(job, None) or _Said()
        whole = said.text + text
        said.text = whole[-LARGEST:]
        said.cut = said.cut or len(whole) > LARGEST
        self._said[job] = said
        while len(self._said) > MOST:
            del self._said[next(iter(self._said))]

    def of(self, job: str) -> tuple[str, bool]:
        """The text, and whether its beginning is not here any more."""
        said = self._said.get(job) or _Said()
        return said.text, said.cut
