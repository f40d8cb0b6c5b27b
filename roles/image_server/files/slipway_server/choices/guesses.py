# SPDX-License-Identifier: GPL-3.0-or-later
"""Where passwords are guessed at, so that tries are slowed: at the page, and in menus of PCs.

A night of guessing is one thing to tell: what was slowed counts as slowed for an hour after the
last wrong password.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

_STAYS_SECONDS = 3600.0
# Whoever guesses from a thousand addresses fills no memory; the oldest go.
_MOST = 1000


class Guesses:
    """Kept in memory. Runs in the event loop."""

    def __init__(
        self, told: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``told``: what people were told of by a service before this; it may go on."""
        self._clock = clock
        self._slowed = {subject: (subject, clock()) for subject in sorted(told)}

    def at_page(self, account: str | None, address: str) -> None:
        """Sign-ins of an account are slowed; None: those from the address."""
        if account is None:
            self._note(f"address {address}", f"sign-ins at the page from {address}")
        else:
            self._note(f"account {account}", f"sign-ins of {account} at the page, from {address}")

    def at_menu(self, machine: str, address: str | None) -> None:
        """Passwords for items of a machine's menu are slowed."""
        self._note(f"menu {machine}", f"passwords at the menu of {machine}, from {address or '?'}")

    def slowed(self) -> dict[str, str]:
        """What is said of each that is slowed."""
        oldest = self._clock() - _STAYS_SECONDS
        self._slowed = {key: said for key, said in self._slowed.items() if said[1] >= oldest}
        return {key: f"{text}: too many wrong ones" for key, (text, _) in self._slowed.items()}

    def _note(self, subject: str, text: str) -> None:
        self._slowed.pop(subject, None)
        self._slowed[subject] = (text, self._clock())
        while len(self._slowed) > _MOST:
            del self._slowed[next(iter(self._slowed))]
