# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs that somebody has a chunk's content, not only its name.

Names are no secret: manifests hold them. So each chunk has a second digest, its key: SHA-256 over
the content and a label behind it. It comes out of the same pass as the name, since a hash can be
read and then go on; but nobody gets from the name to the key, since the label is not the padding
that ends the name's hash. Who has the content proves it with an HMAC of the name and a nonce under
the key; who checks the proof needs the key alone.
"""

from __future__ import annotations

import hashlib
import hmac

from slipway.format.names import check_digest

_LABEL = b"slipway: this content was in hand"
# Half a SHA-256: a proof can be guessed in the conversation alone, never away from it.
_BYTES = 16

Content = bytes | bytearray | memoryview


def digest_and_key(content: Content) -> tuple[str, bytes]:
    """The name of a chunk with this content, and its key: as dear as the name alone."""
    hasher = hashlib.sha256(content)
    digest = hasher.hexdigest()
    hasher.update(_LABEL)
    return digest, hasher.digest()


def make_proof(digest: str, key: bytes, nonce: str) -> str:
    """The proof for chunk `digest`, good for one nonce: 32 lower-case hexadecimal digits."""
    message = f"{nonce} {check_digest(digest)}".encode("ascii")
    return hmac.digest(key, message, "sha256")[:_BYTES].hex()


def proves(proof: str, digest: str, key: bytes, nonce: str) -> bool:
    """Whether the proof fits, in constant time."""
    return hmac.compare_digest(proof.encode("ascii"), make_proof(digest, key, nonce).encode())
