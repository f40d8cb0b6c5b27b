# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of menu items: scrypt, one check of a machine at a time, and pauses that grow."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..base.errors import ServiceError
from .turns import Limit, Turns

# The bounds of plugin_utils/_password_hash.py: 64 MiB of memory, a second of time.
_MAX_N, _MAX_R, _MAX_P = 1 << 16, 8, 4
_FREE_TRIES = 3
_LONGEST_PAUSE = 900.0
_FORGET_SECONDS = 86400.0
# A class room that mistypes is no attack.
_OF_PASSWORD = Limit(free=20, longest=30.0)
_OF_ADDRESS = Limit(free=12, longest=60.0)


@dataclass(frozen=True)
class PasswordHash:
    """``scrypt$N$r$p$SALT$HASH``, salt and hash in base64."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: object) -> PasswordHash:
        """Read the text; ValueError when it is none, or wants more than the service gives."""
        if not isinstance(text, str) or len(text) > 400:
            raise ValueError("a password hash is no short text")
        kind, n, r, p, salt, digest = text.split("$")
        made = cls(
            int(n), int(r), int(p),
            base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True),
        )  # fmt: skip
        bounded = made.n <= _MAX_N and 1 <= made.r <= _MAX_R and 1 <= made.p <= _MAX_P
        if kind != "scrypt" or not bounded or made.n < 2 or made.n & (made.n - 1):
            raise ValueError("a password hash has parameters out of bounds")
        if not (8 <= len(made.salt) <= 64 and 16 <= len(made.digest) <= 64):
            raise ValueError("a password hash has a salt or a digest of a wrong length")
        return made

    @property
    def key(self) -> str:
        """The same for all items that have this password by the same line of the inventory."""
        return (self.salt + self.digest).hex()

    def fits(self, password: str) -> bool:
        """Whether it was made of this password. Takes tens of milliseconds and up to 64 MiB."""
        found = hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=(128 * self.r * (self.n + self.p + 2)) + (1 << 20),
            dklen=len(self.digest),
        )
        return hmac.compare_digest(found, self.digest)


@dataclass
class _Tries:
    """What a machine got wrong in a row."""

    count: int = 0
    last: float = 0.0
    checking: bool = False


class Passwords:
    """Counts in memory: nobody on the network can restart the service to reset them.

    By machine, by address, and by password: forty machines whose items have the same one are no
    forty times as many guesses.
    """

    def __init__(
        self,
        slowed: Callable[[str, str | None], None] = lambda machine, address: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No thread is started before the first check.

        ``slowed`` is told the machine and the address whose tries are.
        """
        self._slowed = slowed
        self._clock = clock
        self._tries: dict[str, _Tries] = {}
        self._by_address: dict[str, Turns] = {}
        self._by_password: dict[str, Turns] = {}
        # One thread: a hundred PCs that guess at once take 64 MiB and one core, not a hundred.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    async def check(
        self,
        machine: str,
        wanted: PasswordHash,
        password: str | None,
        address: str | None = None,
    ) -> None:
        """Return if the password fits; else ServiceError. ``machine`` must be one that exists."""
        if password is None:
            raise ServiceError("password_required", "This item asks for a password.")
        tries = self._tries.setdefault(machine, _Tries())
        left = tries.last + pause_after(tries.count) - self._clock()
        if tries.count > _FREE_TRIES:
            self._slowed(machine, address)
        if tries.checking or left > 0:
            raise _too_many(max(left, 1.0))
        shared = [self._by_password.setdefault(wanted.key, Turns(_OF_PASSWORD))]
        if address is not None:
            shared.append(self._by_address.setdefault(address, Turns(_OF_ADDRESS)))
        left = max(turns.wait(machine, self._clock()) for turns in shared)
        if left > 0:
            self._slowed(machine, address)
            raise _too_many(left)
        tries.checking = True
        # Counted before the answer is known: a client that hangs up has tried all the same.
        tries.count += 1
        for turns in shared:
            turns.take(machine, self._clock())
        try:
            loop = asyncio.get_running_loop()
            fits = await loop.run_in_executor(self._thread, wanted.fits, password)
        finally:
            tries.checking = False
            tries.last = self._clock()
        if not fits:
            wait = pause_after(tries.count)
            raise ServiceError(
                "wrong_password", "The password is wrong.", wait_seconds=round(wait, 1)
            )
        self._tries.pop(machine, None)
        for turns in shared:
            turns.give_back()

    def forget(self) -> None:
        """Drop counts that are a day old."""
        now = self._clock()
        for machine, tries in list(self._tries.items()):
            if tries.last < now - _FORGET_SECONDS and not tries.checking:
                del self._tries[machine]
        for shared in (self._by_address, self._by_password):
            for key in [key for key, turns in shared.items() if turns.is_old(now)]:
                del shared[key]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


def pause_after(count: int) -> float:
    """Seconds that a machine waits after so many wrong passwords in a row."""
    if count == 0:
        return 0.0
    return float(min(_LONGEST_PAUSE, 2.0 ** max(0, min(count, 40) - _FREE_TRIES)))


def _too_many(left: float) -> ServiceError:
    return ServiceError(
        "too_many_tries",
        f"Too many wrong passwords: wait {left:.0f} s.",
        wait_seconds=round(left, 1),
    )
