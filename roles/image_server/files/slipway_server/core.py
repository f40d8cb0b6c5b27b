"""The one object both applications share: sessions, store, images, checks, and their clockwork."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple, TypeVar

from slipway.format.names import ahead_warning, make_version

from .base import certificates
from .base.ballast import Ballast
from .base.config import Config
from .base.errors import ServiceError
from .choices.choices import Choices
from .choices.menu_files import MenuFiles
from .images.checks import Check, Checker
from .images.images import Images
from .images.memory import Memory
from .images.offer import Offer
from .images.store import ChunkStore
from .images.sync_marks import SyncMarks, read_boot_id
from .jobs.job import Job
from .network.addresses import Addresses
from .network.strangers import Strangers
from .registrations.identities import Identities
from .registrations.registration_db import RegistrationDb
from .registrations.registrations import Registrations
from .sessions.arrivals import Arrivals
from .sessions.session import Session, ended
from .sessions.session_db import SessionDb
from .sessions.sessions import Registry
from .sessions.tftp_files import TftpFiles
from .sessions.view import view
from .transfers.claims import Claims
from .transfers.digest_sets import DigestSets
from .transfers.grants import Grants
from .transfers.upload_slots import UploadSlots

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# A power failure makes suspects of the chunks since the last sync: keep that set small.
_SYNC_SECONDS = 60.0
_FORGET_SECONDS = 3600.0
# What a clock that is merely corrected never jumps by.
_JUMP_SECONDS = 60.0
# Manifests are parsed one at a time: a large one takes several times its size in memory.
_MANIFEST_SLOTS = 1
# A publish whose end the service did not see may have been that end's cause.
_MAX_STRIKES = 2


class Published(NamedTuple):
    """A version that exists, and whether this very request made it."""

    name: str
    version: str
    new: bool


class Core:
    """Made inside the running event loop; `start` and `stop` frame its life."""

    def __init__(self, config: Config) -> None:
        """Open the store and the state; what an earlier process left half-done is removed."""
        self.config = config
        config.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._ballast = Ballast(config.state_dir)
        self.memory = Memory(config.state_dir / "memory.sqlite3")
        marks = SyncMarks(config.store_dir / "unsynced", read_boot_id())
        self.store = ChunkStore(
            config.store_dir,
            config.store_reserve_bytes,
            marks,
            self.memory.is_bad,
            self.memory.keep_key,
        )
        self.images = Images(self.store, self.memory)
        self.digest_sets = DigestSets(self.images, self.run)
        self._db = SessionDb(config.state_dir / "sessions.sqlite3")
        self.tftp_files = TftpFiles(config.tftp_dir)
        self.sessions = Registry(self._db, show=self.tftp_files.show)
        self._grants = Grants(config.state_dir / "grants.sqlite3")
        self.claims = Claims(self.store, self.memory, self._grants, config.session_quota_bytes)
        self.menus = MenuFiles(config.menu_dir)
        self.addresses = Addresses(
            self.run, self.menus.address_of, config.lease_file, config.unproven_addresses
        )
        self.strangers = Strangers()
        self.arrivals = Arrivals(self)
        self.choices = Choices(self)
        self._registration_db = RegistrationDb(config.state_dir / "registrations.sqlite3")
        self.registrations = Registrations(
            self._registration_db,
            config.registration_limit,
            config.registration_name,
            config.registrations_per_second,
        )
        self.identities = Identities(self._registration_db)
        self.checker = Checker(
            self.store, self.images, self.memory, config.check_threads, config.check_memory_days
        )
        self.upload_slots = UploadSlots(config.upload_slots)
        self.manifest_slots = asyncio.Semaphore(_MANIFEST_SLOTS)
        self.started, self._began, self._ahead = time.time(), time.monotonic(), 0.0
        self._pool = ThreadPoolExecutor(config.threads, thread_name_prefix="work")
        self._checks: dict[str, Check] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._publishing = asyncio.Lock()
        self._bodies: dict[str, asyncio.Lock] = {}
        self._last_sync = self._last_forget = time.monotonic()

    async def start(self) -> None:
        """Take up what was under way before, and begin to watch the clock."""
        for item in self.sessions.open_sessions():
            if item.manifest_hash and item.image and item.version:
                versions = await self.run(self.images.versions, item.image)
                if item.version not in versions:
                    await self.sessions.update(item.id, version=None, manifest_hash=None)
            if item.verb in ("restore", "verify") and not _is_checked(item):
                self._check_for(item)
        self._ballast.take()
        self._warn()
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Save everything and let go of every file and thread."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.checker.stop()
        await self.sessions.flush()
        self.choices.close()
        try:
            # After a clean stop a reboot leaves no suspects.
            if self.store.dirty:
                await self.run(self.store.sync)
        except ServiceError as error:
            log.error("%s", error.message)
        self._pool.shutdown()
        self._db.close()
        self._registration_db.close()
        self._grants.close()
        self.memory.close()
        self.store.close()

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do blocking work in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def open_session(
        self,
        machine: str,
        macs: tuple[str, ...],
        verb: str,
        image: str | None,
        version: str | None,
        ttl_seconds: int,
        job: Job | None = None,
    ) -> Session:
        """Create a session; a version to restore is made concrete and its check begins."""
        if verb in ("restore", "verify") and image is not None:
            version = await self.run(self.images.resolve, image, version)
        made = await self.sessions.create(machine, macs, verb, image, version, ttl_seconds, job)
        log.info("session %s: %s %s of %s", made.id, verb, machine, image)
        if verb in ("restore", "verify"):
            self._check_for(made)
        return made

    def view(self, item: Session) -> dict[str, Any]:
        """The session with the check of its image as it stands now."""
        shown = view(item)
        if (check := self._checks.get(item.id)) is not None:
            shown["image_check"] = check.view()
        shown["strangers"] = self.strangers.of("session", item.id, item.machine)
        return shown

    def is_image_checked(self, item: Session) -> bool:
        """Whether no check of the session's image is under way."""
        return not item.open or item.id not in self._checks

    @asynccontextmanager
    async def one_body_of(self, session_id: str) -> AsyncIterator[None]:
        """A session sends one manifest at a time: each lies on the store's disk until it is read.

        It is named once the answer is known.
        """
        lock = self._bodies.setdefault(session_id, asyncio.Lock())
        async with lock:
            yield
        if not lock.locked() and self._bodies.get(session_id) is lock:
            del self._bodies[session_id]

    async def publish(self, session_id: str, body: IO[bytes], digest: str) -> Published:
        """Publish the manifest in the file ``body``, of which ``digest`` is the SHA-256.

        The version and the manifest's hash are saved before the version exists, so a client
        that lost the answer, even to a crash, finds its own version and never makes a second.
        """
        strikes = self.sessions.get(session_id).publish_strikes
        if strikes >= _MAX_STRIKES:
            raise ServiceError(
                "publish_refused",
                f"The server was ended {strikes} times while it read this session's manifest: it "
                "does not read it again. The chunks that were sent are kept.",
            )
        # Durable before the manifest is read: if that ends the service, it knows afterwards.
        await self.sessions.update(session_id, publish_strikes=strikes + 1)
        try:
            async with self.manifest_slots:
                return await self._publish(session_id, body, digest)
        except ServiceError as error:
            if error.error == "publish_failed":
                strikes += 1
            raise
        finally:
            self.sessions.note(session_id, publish_strikes=strikes)

    async def _publish(self, session_id: str, body: IO[bytes], digest: str) -> Published:
        name = self.sessions.get(session_id).image or ""
        # In threads of their own: a large manifest takes a minute, and the pool has few.
        with await asyncio.to_thread(Offer, body, self.config.max_manifest_bytes) as offer:
            if offer.name != name:
                raise ServiceError("bad_manifest", f"The manifest is of another image than {name}.")
            own = await self.digest_sets.of(self.sessions.get(session_id))
            async with self._publishing:
                item = self.sessions.get(session_id)
                if not item.open:
                    raise ended(item)
                taken = set(await self.run(self.images.versions, name))
                if item.version in taken:
                    if item.manifest_hash != digest:
                        raise ServiceError(
                            "already_published",
                            f"This session has already published {name}@{item.version}.",
                        )
                    return Published(name, str(item.version), new=False)
                await self.run(self.claims.check, item, own, offer.digests())
                taken |= self.sessions.reserved_versions(name)
                version = make_version(datetime.now(UTC), taken)
                await self.sessions.update(session_id, version=version, manifest_hash=digest)
                try:
                    await asyncio.to_thread(self.images.publish, offer, version)
                except BaseException:
                    if version not in await self.run(self.images.versions, name):
                        await self.sessions.update(session_id, version=None, manifest_hash=None)
                    raise
        log.info("session %s published %s@%s", session_id, name, version)
        if (warning := ahead_warning(name, version, datetime.now(UTC))) is not None:
            log.warning("%s", warning)
        return Published(name, version, new=True)

    def _check_for(self, item: Session) -> None:
        check = self.checker.start(str(item.image), str(item.version), full=False)
        self._checks[item.id] = check
        self._spawn(self._await_check(item.id, check))

    async def _await_check(self, session_id: str, check: Check) -> None:
        await check.done.wait()
        del self._checks[session_id]
        await self.sessions.update(session_id, image_check=check.view())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.config.sweep_seconds)
            try:
                await self._sweep()
            except Exception:
                # A full or failing disk must not end the watch; the next round tries again.
                log.exception("sweep failed")

    async def _sweep(self) -> None:
        for item in await self.sessions.sweep(self.config.silent_seconds):
            log.warning("session %s of %s: %s", item.id, item.machine, item.outcome)
        await self.sessions.flush()
        await self._let_go()
        self._watch_clock()
        keep_since = self._steady() - self.config.keep_days * 86400
        await self.choices.sweep(keep_since)
        now = time.monotonic()
        if now - self._last_forget > _FORGET_SECONDS:
            self._last_forget = now
            self._ballast.take()
            self._warn()
            await self.sessions.forget(keep_since)
            await self.registrations.sweep(self.config.keep_days * 86400)
        if self.store.dirty and now - self._last_sync > _SYNC_SECONDS:
            self._last_sync = now
            await self.run(self.store.sync)

    def _steady(self) -> float:
        """The time as it was when the service started and as it went on since.

        A clock that is set years ahead must not make old what ended a minute ago.
        """
        return self.started + time.monotonic() - self._began

    def _watch_clock(self) -> None:
        ahead = time.time() - self._steady()
        if abs(ahead - self._ahead) > _JUMP_SECONDS:
            log.warning("the server's clock was set by %+.0f s", ahead - self._ahead)
            self._ahead = ahead

    async def _let_go(self) -> None:
        """Drop what was only held for sessions that have ended since."""
        still = {item.id for item in self.sessions.open_sessions()}
        self.digest_sets.keep(still)
        if ended := self._grants.sessions() - still:
            await self.run(self._grants.drop, ended)

    def _warn(self) -> None:
        for text in certificates.warnings(self.config, datetime.now(UTC)):
            log.warning("%s", text)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_checked(item: Session) -> bool:
    return item.image_check is not None and item.image_check["state"] != "running"
