# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in memory: the double for tests, and the smallest example of the interface."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.engine.errors import ImageDamaged
from slipway.engine.progress import Meter
from slipway.engine.store import (
    AtHand,
    ChunksLacking,
    ImageInfo,
    Problem,
    Published,
    VersionInfo,
    now,
    pick_version,
    read_through,
)
from slipway.format import ImageRef, Manifest, make_version


class MemoryStore(AtHand):
    """Keeps everything in two dictionaries."""

    threads = 1
    asked_at_once = 1

    def __init__(self) -> None:
        """An empty store."""
        self.chunks: dict[str, bytes] = {}
        self.manifests: dict[str, dict[str, Manifest]] = {}

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Which of these chunks are not here."""
        return set(digests) - self.chunks.keys()

    def put(self, digest: str, frame: bytes) -> None:
        """Keep a chunk."""
        self.chunks[digest] = frame

    def get(self, digest: str) -> bytes:
        """A chunk's frame."""
        try:
            return self.chunks[digest]
        except KeyError:
            raise ImageDamaged(f"chunk {digest} is missing") from None

    def publish(self, manifest: Manifest) -> Published:
        """Make the manifest a version."""
        needed = dict(manifest.chunks())
        if lacking := self.missing(list(needed)):
            raise ChunksLacking(sorted(lacking))
        versions = self.manifests.setdefault(manifest.name, {})
        moment = now()
        version = make_version(moment, versions)
        stored = sum(len(self.chunks[digest]) for digest in needed)
        versions[version] = manifest.stamped(version, f"{moment:%Y-%m-%dT%H:%M:%SZ}", stored)
        return Published(version, stored)

    def manifest(self, ref: ImageRef) -> Manifest:
        """A version's manifest."""
        versions = self.manifests.get(ref.name, {})
        return versions[pick_version(ref, versions)]

    def images(self) -> list[ImageInfo]:
        """All images."""
        return [
            ImageInfo(
                name,
                tuple(
                    VersionInfo(
                        each.version,
                        each.created,
                        each.used_bytes,
                        each.stored_bytes,
                        unreadable=each.unreadable_bytes,
                    )
                    for each in versions.values()
                ),
            )
            for name, versions in sorted(self.manifests.items())
        ]

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Check every chunk."""
        return read_through(self, manifest, meter)

    def close(self) -> None:
        """Nothing to let go of."""
