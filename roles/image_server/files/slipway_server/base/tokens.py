# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that clients carry; the service keeps only their SHA-256."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """A bearer token with 256 random bits."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is stored of a token or a nonce: no salt needed, they are random and long."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, digest: str | None) -> bool:
    """Whether ``secret`` is the one that ``digest`` was made of, in constant time."""
    return digest is not None and secrets.compare_digest(digest_of(secret), digest)
