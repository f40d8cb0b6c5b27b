# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of users: scrypt hashes as `playbooks/menu_password.yml` makes them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

MAX_PASSWORD = 1024
# 64 MiB of memory, a second of time.
_MAX_N, _MAX_R, _MAX_P = 1 << 16, 8, 4


@dataclass(frozen=True)
class PasswordHash:
    """``scrypt$N$r$p$SALT$HASH``, salt and hash in base64."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read the text; ValueError when it is none, or wants more than the page gives."""
        parts = text.split("$")
        if len(parts) != 6 or parts[0] != "scrypt":
            raise ValueError("password_hash is none: make one with playbooks/menu_password.yml")
        n, r, p = map(int, parts[1:4])
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[4:])
        power_of_two = n >= 2 and not n & (n - 1)
        if not power_of_two or n > _MAX_N or not (1 <= r <= _MAX_R and 1 <= p <= _MAX_P):
            raise ValueError("password_hash has parameters out of bounds")
        if not (8 <= len(salt) <= 64 and 16 <= len(digest) <= 64):
            raise ValueError("password_hash has a salt or a digest of a wrong length")
        return cls(n, r, p, salt, digest)

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


class Checker:
    """One check at a time: a hundred guesses at once take 64 MiB and one core, not a hundred."""

    def __init__(self) -> None:
        """No thread is started before the first check."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    async def fits(self, known: str | None, like: str, password: str) -> bool:
        """Whether it fits; for a name that nobody has it takes as long as for ``like``."""
        wanted = PasswordHash.parse(known or like)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, wanted.fits, password)
        return found and known is not None
