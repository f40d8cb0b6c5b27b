# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is signed in: a table of hashed cookies, so that any of them can be ended at once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .config import Config, User

NAME = "sign_ins.sqlite3"
_TABLE = """CREATE TABLE IF NOT EXISTS sign_ins (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, password TEXT NOT NULL, form_key TEXT NOT NULL,
    began REAL NOT NULL, seen REAL NOT NULL, address TEXT NOT NULL, browser TEXT NOT NULL)"""
# What the table says of when somebody was seen is at most so old.
_SEEN_SECONDS = 60.0
_MOST_OF_ONE = 50


@dataclass(frozen=True)
class SignIn:
    """One browser of one user. Times are seconds since the epoch."""

    id: str
    user: User
    form_key: str
    began: float
    seen: float
    address: str
    browser: str

    def fits(self, key: str) -> bool:
        """Whether a form's key is this sign-in's."""
        return hmac.compare_digest(self.form_key.encode(), key.encode("utf-8", "replace"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class SignIns:
    """Every change is on disk before its answer; users are those of the configuration."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        """Open the table; what a full disk or a power cut left of it is made anew."""
        self._config = config
        self._clock = clock
        self._db = _open(config.state_dir / NAME)

    def begin(self, user: User, address: str, browser: str) -> str:
        """Sign a user in; return the cookie, which is kept nowhere."""
        cookie, now = secrets.token_urlsafe(32), self._clock()
        row = (_hash(cookie), user.name, _hash(user.password_hash), secrets.token_urlsafe(32))
        with self._db:
            self._db.execute("DELETE FROM sign_ins WHERE began < ? OR seen < ?", self._too_old(now))
            self._db.execute(
                "DELETE FROM sign_ins WHERE name = ? AND id NOT IN (SELECT id FROM sign_ins "
                "WHERE name = ? ORDER BY seen DESC LIMIT ?)",
                (user.name, user.name, _MOST_OF_ONE - 1),
            )
            self._db.execute(
                "INSERT INTO sign_ins VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, now, now, address, browser),
            )
        return cookie

    def of(self, cookie: str, *, seen: bool = True) -> SignIn | None:
        """Whose cookie it is, as what the configuration says of the user now.

        Not ``seen``: a page that is merely left open keeps nobody signed in.
        """
        if not cookie:
            return None
        rows = self._db.execute("SELECT * FROM sign_ins WHERE id = ?", (_hash(cookie),)).fetchall()
        found = self._made(rows[0]) if rows else None
        now = self._clock()
        if seen and found is not None and now - found.seen > _SEEN_SECONDS:
            with self._db:
                self._db.execute("UPDATE sign_ins SET seen = ? WHERE id = ?", (now, found.id))
        return found

    def of_user(self, name: str) -> list[SignIn]:
        """All of a user's, the newest first."""
        rows = self._db.execute(
            "SELECT * FROM sign_ins WHERE name = ? ORDER BY seen DESC", (name,)
        ).fetchall()
        return [made for row in rows if (made := self._made(row)) is not None]

    def end(self, name: str, identifier: str | None = None) -> None:
        """End one of a user's sign-ins, or all."""
        with self._db:
            if identifier is None:
                self._db.execute("DELETE FROM sign_ins WHERE name = ?", (name,))
            else:
                self._db.execute(
                    "DELETE FROM sign_ins WHERE name = ? AND id = ?", (name, identifier)
                )

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _too_old(self, now: float) -> tuple[float, float]:
        return now - self._config.longest_seconds, now - self._config.idle_seconds

    def _made(self, row: tuple[str, str, str, str, float, float, str, str]) -> SignIn | None:
        identifier, name, password, form_key, began, seen, address, browser = row
        user = self._config.user(name)
        oldest, idle = self._too_old(self._clock())
        # A new password ends what was begun with the old one.
        if user is None or password != _hash(user.password_hash) or began < oldest or seen < idle:
            return None
        return SignIn(identifier, user, form_key, began, seen, address, browser)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    try:
        db.execute(_TABLE)
    except sqlite3.DatabaseError:
        # Nothing is lost but that everybody has to sign in again.
        db.close()
        path.unlink()
        db = sqlite3.connect(path)
        db.execute(_TABLE)
    return db
