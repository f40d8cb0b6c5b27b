# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup may name in its manifest, and what it need not send.

The store holds everybody's chunks, and names are no secret. So a session is told of a chunk only
when its own image has it, when it has sent it, or when it has proven that it has the content.
Everything else is to be sent, whether it is here or not: who asks learns nothing of others.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Sequence

from slipway.format.proofs import proves
from slipway.format.units import size

from ..base.errors import ServiceError
from ..images.memory import Memory
from ..images.store import ChunkStore
from ..sessions.session import Session, proof_nonce
from . import quota
from .digest_sets import DigestSet
from .grants import Grants

# So many are named in a refusal: as many as one question may have.
_MOST_NAMED = 4096
_PART = 4096


class Claims:
    """All methods block; callers run them in a thread."""

    def __init__(self, store: ChunkStore, memory: Memory, grants: Grants, most: int) -> None:
        """``most`` bytes may each session send."""
        self._store = store
        self._memory = memory
        self._grants = grants
        self._most = most
        # Checked in the place of a key that is not known: it takes as long, and never fits.
        self._no_key = secrets.token_bytes(32)

    def missing(
        self, item: Session, own: DigestSet, digests: Sequence[str], proofs: Sequence[str]
    ) -> list[str]:
        """Those that have to be sent. ``proofs`` has one for each digest, or is empty."""
        held = self._grants.held(item.id, digests)
        claimed = {digest for digest in digests if digest in held or digest in own}
        pairs = zip(digests, proofs, strict=True) if proofs else ()
        proven = {
            digest
            for digest, proof in pairs
            if digest not in claimed and self._is_proven(digest, proof, proof_nonce(item))
        }
        if proven:
            self.refuse_spent(item)
        # What is not claimed is not looked for: a disk would answer sooner for what is not there.
        kept = {each for each in claimed | proven if self._store.size_if_kept(each) is not None}
        # What its image has, too: the version may be gone when the manifest comes.
        self._grants.add(item.id, kept - held)
        return [digest for digest in digests if digest not in kept]

    def _is_proven(self, digest: str, proof: str, wanted: str) -> bool:
        key = self._memory.key(digest)
        return proves(proof, digest, key or self._no_key, wanted) and key is not None

    def refuse_spent(self, item: Session, digest: str | None = None) -> None:
        """Refuse a session that has used up what it may send.

        What it has sent before it may send again, as clients do that lost the answer.
        """
        used, allowed = self._grants.used(item.id), quota.allowed(self._most, item.hardware)
        if used.sent < allowed.sent and used.chunks < allowed.chunks:
            return
        if digest is not None and self._grants.held(item.id, [digest]):
            return
        raise ServiceError(
            "session_quota",
            f"The session of {item.machine} has sent {size(used.sent)} in {used.chunks} chunks "
            f"and may send no more: {size(allowed.sent)} in {allowed.chunks} chunks.",
        )

    def put(self, item: Session, digest: str, frame: bytes) -> bool:
        """Keep a chunk that a session sends. False: it was here before."""
        new = self._store.put(digest, frame)
        self._grants.add(item.id, [digest], len(frame))
        return new

    def check(self, item: Session, own: DigestSet, names: Iterator[str]) -> None:
        """Refuse a manifest with a chunk that the session has no claim to."""
        lacking: set[str] = set()
        # In parts: a large image has millions, and others wait for the file meanwhile.
        while part := set(itertools.islice(names, _PART)):
            others = {digest for digest in part if digest not in own}
            lacking |= others - self._grants.held(item.id, others)
        if lacking:
            raise ServiceError(
                "missing_chunks",
                f"The manifest names {len(lacking)} chunks that this session has neither sent nor "
                "proven, and that its image did not have.",
                missing=sorted(lacking)[:_MOST_NAMED],
            )
