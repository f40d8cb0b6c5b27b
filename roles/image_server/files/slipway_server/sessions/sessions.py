# SPDX-License-Identifier: GPL-3.0-or-later
"""All sessions: in memory for speed, on disk before any answer that depends on it.

Everything here runs in the event loop, so a change of the dictionary is never half-seen. A change
of state is saved before the caller is answered; what comes every second (progress, last sign of
life, counters) is saved by `flush` now and then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..base import tokens
from ..base.errors import ServiceError
from ..base.records import Records, ended
from ..base.state_file import Change
from ..base.times import iso
from ..jobs.job import Job
from . import session as rules
from .session import CheckIn, Session

log = logging.getLogger(__name__)


class Sessions:
    """The sessions of this image server."""

    def __init__(
        self,
        db: Records[Session],
        clock: Callable[[], float] = time.monotonic,
        show: Callable[[list[Session]], None] = lambda _: None,
    ) -> None:
        """Load every session; those that are open get their time anew from now on.

        ``show`` is told the open sessions whenever one of them has changed its state.
        """
        self._db = db
        self._show = show
        self._clock = clock
        self._sessions: dict[str, Session] = {item.id: item for item in db.load()}
        self._by_token = {
            item.token_hash: item.id for item in self._sessions.values() if item.token_hash
        }
        self._heard: dict[str, float] = {}
        self._dirty: set[str] = set()
        self._changed: dict[str, asyncio.Event] = {}
        self._stopping = False
        wall, now = time.time(), clock()
        for item in self.open_sessions():
            waited = max(0.0, wall - item.created) if item.state == "requested" else 0.0
            self._heard[item.id] = now - waited
        self._show_open()

    def all(self) -> list[Session]:
        """Every session that is kept, oldest first: in the order in which they came."""
        return list(self._sessions.values())

    def open_sessions(self) -> list[Session]:
        """Those that have not ended. Threads may ask, too: what they look through is a copy."""
        return [item for item in self.all() if item.open]

    def begins_of_backups(self) -> dict[str, float]:
        """When each backup that has not ended was asked for, in seconds since the epoch."""
        return {item.id: item.created for item in self.open_sessions() if item.verb == "backup"}

    def readers(self) -> list[str]:
        """What reads an image, or is about to, in words."""
        return [
            f"{item.verb} of {item.machine} (session {item.id})"
            for item in self.open_sessions()
            if item.uses == "reads"
        ]

    def get(self, session_id: str) -> Session:
        """One session by its id."""
        found = self._sessions.get(session_id)
        if found is None:
            raise ServiceError("no_such_session", "There is no such session.")
        return found

    async def create(
        self,
        machine: str,
        macs: tuple[str, ...],
        verb: str,
        image: str | None,
        version: str | None,
        ttl_seconds: int,
        job: Job | None = None,
        full_check: bool = False,
        also: Callable[[str], Change] | None = None,
        sharing: frozenset[str] = frozenset(),
    ) -> Session:
        """Ask for a session; a machine, and a MAC, can be in one open session only.

        ``also`` is what belongs to it on disk, by the session's id. ``sharing`` names machines that
        have a card in common with it and are told from it by UUID or serial number.
        """
        for other in self.open_sessions():
            if other.machine not in sharing:
                self._check_free(other, machine, macs)
        made = Session(
            id=secrets.token_hex(8),
            machine=machine,
            macs=macs,
            verb=verb,
            image=image,
            version=version,
            created=time.time(),
            ttl_seconds=ttl_seconds,
            job=job.id if job else None,
            wakes=job.wakes if job else False,
            leave=job.leave if job else None,
            nonce_hash=job.nonce_hash if job else None,
            host_key=job.host_key if job else None,
            full_check=full_check,
        )
        self._sessions[made.id] = made
        self._heard[made.id] = self._clock()
        try:
            self._show(self.open_sessions())
            await self._db.save(made, also=[also(made.id)] if also else ())
        except BaseException:
            del self._sessions[made.id]
            self._show_open()
            raise
        return made

    @staticmethod
    def _check_free(other: Session, machine: str, macs: tuple[str, ...]) -> None:
        shared = sorted(set(other.macs) & set(macs))
        if other.machine != machine and not shared:
            return
        what = machine if other.machine == machine else f"{other.machine}, which has {shared[0]},"
        raise ServiceError(
            "session_exists",
            f"{what} already has session {other.id} ({other.verb}, {other.state}) "
            f"since {iso(other.created)}.",
            f"Wait for it, or end it: session_end.yml -l {other.machine}.",
            session=other.id,
            machine=other.machine,
        )

    def pending(self, *macs: str) -> list[Session]:
        """The sessions that wait for machines with one of these MACs: several, if it is a dock's.

        A job's session is for the machine that chose an item and waits in the environment.
        """
        found = (item for item in self.open_sessions() if item.awaits_boot)
        return [item for item in found if set(macs) & set(item.macs)]

    def arrived(self, mac: str) -> list[Session]:
        """The open sessions whose machines, with this MAC, have checked in."""
        found = (item for item in self.open_sessions() if item.state == "checked_in")
        return [item for item in found if mac in item.macs]

    async def boot(self, session_id: str, address: str | None) -> str | None:
        """Note that the session's script goes out to its machine; return the ticket in it.

        The ticket of an earlier script is good for nothing from now on. None: no longer pending.
        """
        item = self.get(session_id)
        if not item.awaits_boot:
            return None
        ticket = tokens.new_token()
        await self._commit(
            dataclasses.replace(
                item,
                boot_script_served=item.boot_script_served + 1,
                ticket_hash=tokens.digest_of(ticket),
                ticket_address=address,
            )
        )
        return ticket

    def last_checked_in(self, machine: str) -> Session | None:
        """The last session that the machine came to."""
        # In the order in which they came: a clock that is set back makes none of them newer.
        came = (item for item in reversed(self._sessions.values()) if item.machine == machine)
        return next((item for item in came if item.checked_in_at is not None), None)

    def last_of(self, machine: str, nonce: str | None, host_key: str | None) -> Session | None:
        """The machine's last session, for the environment that had it.

        It alone has the nonce: a secret that has only ever been sent over TLS.
        """
        last = self.last_checked_in(machine)
        if last is None or nonce is None or not tokens.matches(nonce, last.nonce_hash):
            return None
        return last if last.host_key == host_key else None

    async def check_in(self, session_id: str, report: CheckIn) -> tuple[Session, str]:
        """Bind the session to its machine; return it with the token, which is kept nowhere."""
        before = self.get(session_id)
        token = tokens.new_token()
        try:
            after = rules.check_in(before, report, tokens.digest_of(token), time.time())
        except ServiceError:
            if before.open:
                self._set(rules.refuse(before, report.address))
            raise
        if before.token_hash:
            self._by_token.pop(before.token_hash, None)
        self._by_token[tokens.digest_of(token)] = session_id
        # However long it took to boot, it is heard of now.
        self._heard[session_id] = self._clock()
        await self._commit(after)
        return after, token

    async def authenticate(self, token: str) -> Session:
        """The session that a token opens, noted as heard of just now."""
        session_id = self._by_token.get(tokens.digest_of(token), "")
        found = self._sessions.get(session_id)
        if found is None or not tokens.matches(token, found.token_hash):
            raise ServiceError("bad_token", "The token is not valid on this server.")
        if not found.open:
            raise rules.ended(found)
        self._heard[found.id] = self._clock()
        heard = dataclasses.replace(found, last_heard=time.time(), token_used=True)
        if found.token_used:
            self._set(heard)
        else:
            # Durable: after its first use the token can't be fetched a second time.
            await self._commit(heard)
        return heard

    async def end(self, session_id: str, outcome: str, also: Sequence[Change] = ()) -> Session:
        """End a session, and what belongs to it on disk; its token dies with this call."""
        before = self.get(session_id)
        after = rules.end(before, outcome, time.time())
        if after is not before:
            self._heard.pop(session_id, None)
            await self._commit(after, also)
        return after

    def progress(self, session_id: str, record: dict[str, Any]) -> None:
        """Keep the newest progress record."""
        self._set(rules.with_progress(self.get(session_id), record))

    async def result(self, session_id: str, record: dict[str, Any]) -> None:
        """Keep a job's last word, durably."""
        before = self.get(session_id)
        after = rules.with_result(before, record)
        if after is not before:
            await self._commit(after)

    def note(self, session_id: str, **changes: Any) -> None:
        """Change fields that may be lost if the service dies within seconds."""
        self._set(dataclasses.replace(self.get(session_id), **changes))

    async def update(self, session_id: str, **changes: Any) -> Session:
        """Change fields that are no state, durably."""
        after = dataclasses.replace(self.get(session_id), **changes)
        await self._commit(after)
        return after

    def reserved_versions(self, image: str) -> set[str]:
        """Versions that sessions have begun to publish, finished or not."""
        return {
            item.version
            for item in self._sessions.values()
            if item.image == image and item.manifest_hash and item.version
        }

    async def sweep(self, silent_seconds: int) -> list[Session]:
        """End what is overdue."""
        now = self._clock()
        ended = []
        for item in self.open_sessions():
            outcome = rules.overdue(item, now - self._heard.get(item.id, now), silent_seconds)
            if outcome is not None:
                ended.append(await self.end(item.id, outcome))
                log.warning("session %s of %s: %s", item.id, item.machine, outcome)
        return ended

    async def flush(self) -> None:
        """Save what changed without being saved."""
        dirty, self._dirty = self._dirty, set()
        try:
            await self._db.save(*(self._sessions[key] for key in dirty if key in self._sessions))
        except BaseException:
            self._dirty |= dirty
            raise

    async def forget(self, ended_before: float) -> None:
        """Drop sessions that ended long ago."""
        old = ended(self.all(), ended_before)
        for item in old:
            del self._sessions[item.id]
            self._by_token.pop(item.token_hash or "", None)
            self._dirty.discard(item.id)
        await self._db.delete(old)

    async def wait(
        self, session_id: str, until: Callable[[Session], bool], seconds: float
    ) -> Session:
        """Wait for a state, at most so long; return the session as it is then."""
        deadline = self._clock() + seconds
        while not until(self.get(session_id)):
            left = deadline - self._clock()
            if left <= 0 or self._stopping:
                break
            event = self._changed.setdefault(session_id, asyncio.Event())
            try:
                await asyncio.wait_for(event.wait(), left)
            except TimeoutError:
                break
        return self.get(session_id)

    def release_waiters(self) -> None:
        """Answer everybody who waits, for the service stops."""
        self._stopping = True
        for session_id in list(self._changed):
            self._wake(session_id)

    def _wake(self, session_id: str) -> None:
        if (event := self._changed.pop(session_id, None)) is not None:
            event.set()

    def _show_open(self) -> None:
        try:
            self._show(self.open_sessions())
        except ServiceError as error:
            # The session itself is as it should be; a boot loader may see what was true before.
            log.error("%s", error.message)

    def _set(self, item: Session) -> None:
        self._sessions[item.id] = item
        self._dirty.add(item.id)

    async def _commit(self, item: Session, also: Sequence[Change] = ()) -> None:
        """Visible at once, durable when this returns."""
        self._set(item)
        self._show_open()
        self._wake(item.id)
        await self._db.save(item, also=also)
        if self._sessions.get(item.id) is item:
            self._dirty.discard(item.id)
