# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks the open sessions' images consist of: asked for every chunk that goes either way.

A digest takes 32 bytes here and no more: an image of 500 GB has 250,000 of them. Each version is
read once for all sessions that work on it, however many there are, and let go with the last.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable

from slipway.format.errors import FormatError

from ..base.errors import ServiceError
from ..base.threads import Run
from ..images.images import Images
from ..sessions.session import Session

_SIZE = 32
# What only older versions have, a backup proves that it has. A year of nights would keep its first
# question waiting for minutes.
_NEWEST = 8


class DigestSet:
    """Digests, sorted and packed."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        """Equal ones count once."""
        # In parts: one call that sorts a million would keep the event loop's thread waiting.
        parts: list[set[bytes]] = [set() for _ in range(256)]
        for digest in digests:
            parts[digest[0]].add(digest)
        self._packed = b"".join([b"".join(sorted(part)) for part in parts])

    def __len__(self) -> int:
        """How many there are."""
        return len(self._packed) // _SIZE

    def __contains__(self, digest: str) -> bool:
        """Whether a digest, in hexadecimal, is one of them."""
        wanted = bytes.fromhex(digest)
        found = bisect_left(range(len(self)), wanted, key=self._at)
        return found < len(self) and self._at(found) == wanted

    def _at(self, index: int) -> bytes:
        return self._packed[index * _SIZE : index * _SIZE + _SIZE]


def of_version(images: Images, name: str, version: str) -> DigestSet:
    """The chunks of one version."""
    try:
        segments = list(images.manifest(name, version).segments())
    except FormatError as error:
        raise ServiceError(
            "store_failed", f"The manifest of {name}@{version} is damaged: {error}."
        ) from error
    return DigestSet(each for segment in segments for each in _split(segment.digests))


def of_image(images: Images, name: str) -> DigestSet:
    """The chunks of an image's newest versions; a damaged one names none."""
    found: set[bytes] = set()
    for version in images.versions(name)[-_NEWEST:]:
        try:
            for segment in images.manifest(name, version).segments():
                found.update(_split(segment.digests))
        except (FormatError, ServiceError):
            continue
    return DigestSet(found)


def _split(digests: bytes) -> Iterable[bytes]:
    return (digests[start : start + _SIZE] for start in range(0, len(digests), _SIZE))


class DigestSets:
    """The sets that open sessions need. Belongs to the event loop; manifests are read beside it."""

    def __init__(self, images: Images, run: Run) -> None:
        """``run`` does blocking work in a thread."""
        self._images = images
        self._run = run
        # A large manifest takes several times its size while it is read: one after the other.
        self._reading = asyncio.Semaphore(1)
        self._sets: dict[tuple[str, ...], asyncio.Task[DigestSet]] = {}
        self._users: dict[tuple[str, ...], set[str]] = {}
        self._read_last: dict[str, tuple[str, ...]] = {}

    async def of(self, item: Session) -> DigestSet:
        """The chunks of a session's version; for a backup, those of its image as it began."""
        name, version = str(item.image), str(item.version)
        if item.uses == "writes":
            return await self._of((item.id,), item.id, lambda: of_image(self._images, name))
        return await self._of_version(item.id, name, version)

    async def of_site(self, site: str, name: str, version: str) -> DigestSet:
        """The chunks of the version that another site reads; of each site the last one is held."""
        user, key = f"site {site}", (name, version)
        if (before := self._read_last.get(user, key)) != key:
            self._users.get(before, set()).discard(user)
        self._read_last[user] = key
        return await self._of_version(user, name, version)

    async def _of_version(self, user: str, name: str, version: str) -> DigestSet:
        return await self._of(
            (name, version), user, lambda: of_version(self._images, name, version)
        )

    async def _of(
        self, key: tuple[str, ...], user: str, read: Callable[[], DigestSet]
    ) -> DigestSet:
        task = self._sets.get(key)
        if task is None or (task.done() and task.exception() is not None):
            task = self._sets[key] = asyncio.get_running_loop().create_task(self._read(read))
        self._users.setdefault(key, set()).add(user)
        # Who asks may hang up: the others still want it.
        return await asyncio.shield(task)

    async def _read(self, read: Callable[[], DigestSet]) -> DigestSet:
        async with self._reading:
            return await self._run(read)

    def keep(self, open_sessions: Iterable[str]) -> None:
        """Let go of what no open session and no site needs."""
        still = {*open_sessions, *self._read_last}
        for key in list(self._users):
            self._users[key] &= still
            if not self._users[key]:
                del self._users[key]
                self._sets.pop(key, None)

    def __len__(self) -> int:
        """How many are held."""
        return len(self._sets)
