# SPDX-License-Identifier: GPL-3.0-or-later
"""From the manifest that a session sends to the version that exists, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import IO, NamedTuple
from weakref import WeakValueDictionary

from slipway.format.names import ahead_warning, make_version

from ..base.errors import ServiceError
from ..base.threads import Run
from ..images.images import Images
from ..images.offer import Halt, Offer
from ..sessions.session import ended
from ..sessions.sessions import Sessions
from .claims import Claims
from .digest_sets import DigestSets

log = logging.getLogger(__name__)

# Manifests are parsed one at a time: a large one takes several times its size in memory.
_MANIFEST_SLOTS = 1
# A publish whose end the service did not see may have been that end's cause.
_MAX_STRIKES = 2


class Published(NamedTuple):
    """A version that exists, and whether this very request made it."""

    name: str
    version: str
    new: bool


class Publishing:
    """Made inside the running event loop."""

    def __init__(
        self,
        sessions: Sessions,
        images: Images,
        claims: Claims,
        digest_sets: DigestSets,
        run: Run,
        largest: int,
    ) -> None:
        """Manifests have at most ``largest`` bytes; ``run`` does blocking work in a thread."""
        self._sessions = sessions
        self._images = images
        self._claims = claims
        self._digest_sets = digest_sets
        self._run = run
        self._largest = largest
        self._slots = asyncio.Semaphore(_MANIFEST_SLOTS)
        self._publishing = asyncio.Lock()
        # Each lives as long as somebody holds it or waits for it.
        self._bodies: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take_up(self) -> None:
        """Forget the versions that an earlier process has announced and not made."""
        for item in self._sessions.open_sessions():
            if item.manifest_hash and item.image and item.version:
                versions = await self._run(self._images.versions, item.image)
                if item.version not in versions:
                    await self._sessions.update(item.id, version=None, manifest_hash=None)

    @asynccontextmanager
    async def one_body_of(self, session_id: str) -> AsyncIterator[None]:
        """A session sends one manifest at a time: each lies on the store's disk until it is read.

        It is named once the answer is known.
        """
        async with self._bodies.setdefault(session_id, asyncio.Lock()):
            yield

    async def publish(self, session_id: str, body: IO[bytes], digest: str) -> Published:
        """Publish the manifest in the file ``body``, of which ``digest`` is the SHA-256.

        The version and the manifest's hash are saved before the version exists, so a client
        that lost the answer, even to a crash, finds its own version and never makes a second.
        """
        async with self._slots:
            strikes = self._sessions.get(session_id).publish_strikes
            if strikes >= _MAX_STRIKES:
                raise ServiceError(
                    "publish_refused",
                    f"The server was ended {strikes} times while it read this session's manifest: "
                    "it does not read it again. The chunks that were sent are kept.",
                )
            # Durable before the manifest is read, not while it waits for its turn: if that ends
            # the service, it knows afterwards.
            await self._sessions.update(session_id, publish_strikes=strikes + 1)
            try:
                return await self._publish(session_id, body, digest)
            except ServiceError as error:
                if error.error == "publish_failed":
                    strikes += 1
                raise
            finally:
                self._sessions.note(session_id, publish_strikes=strikes)

    async def adopt(self, name: str, version: str, body: IO[bytes]) -> bool:
        """Make a version of another site one of this, as it is there. False: it was here before."""
        async with self._slots:
            with await self._read(body) as offer:
                if (offer.name, offer.version) != (name, version):
                    raise ServiceError(
                        "bad_manifest", f"The manifest is not that of {name}@{version}."
                    )
                async with self._publishing:
                    if version in await self._run(self._images.versions, name):
                        return False
                    await asyncio.to_thread(self._images.publish, offer, version, offer.created)
        log.info("%s@%s came from another site", name, version)
        return True

    async def _read(self, body: IO[bytes]) -> Offer:
        """Read the manifest; a service that stops does not wait until that is done."""
        halt = Halt()
        try:
            return await asyncio.to_thread(Offer, body, self._largest, halt)
        except asyncio.CancelledError:
            halt.now()
            raise

    async def _publish(self, session_id: str, body: IO[bytes], digest: str) -> Published:
        name = self._sessions.get(session_id).image or ""
        # In threads of their own: a large manifest takes a minute, and the pool has few.
        with await self._read(body) as offer:
            if offer.name != name:
                raise ServiceError("bad_manifest", f"The manifest is of another image than {name}.")
            own = await self._digest_sets.of(self._sessions.get(session_id))
            async with self._publishing:
                item = self._sessions.get(session_id)
                if not item.open:
                    raise ended(item)
                if item.version in await self._run(self._images.versions, name):
                    if item.manifest_hash != digest:
                        raise ServiceError(
                            "already_published",
                            f"This session has already published {name}@{item.version}.",
                        )
                    return Published(name, str(item.version), new=False)
                await self._run(self._claims.check, item, own, offer.digests())
                taken = await self._run(self._images.taken, name)
                taken |= self._sessions.reserved_versions(name)
                version = make_version(datetime.now(UTC), taken)
                await self._sessions.update(session_id, version=version, manifest_hash=digest)
                try:
                    await asyncio.to_thread(self._images.publish, offer, version)
                except BaseException:
                    if version not in await self._run(self._images.versions, name):
                        await self._sessions.update(session_id, version=None, manifest_hash=None)
                    raise
        log.info("session %s published %s@%s", session_id, name, version)
        if (warning := ahead_warning(name, version, datetime.now(UTC))) is not None:
            log.warning("%s", warning)
        return Published(name, version, new=True)
